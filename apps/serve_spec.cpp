#include "common/command.h"

namespace suture::apps {

const CommandSpec& serve_spec() {
  static const CommandSpec spec{
      "serve",
      "serve MODEL",
      "answer completions over HTTP, as lm-evaluation-harness asks for them",
      "Listens on 127.0.0.1 for what the OpenAI API calls completions: POST /v1/completions with "
      "text or\n"
      "token ids, echo and logprobs; GET /v1/models; GET /health. Prints its address on stdout "
      "when "
      "it is\n"
      "ready, and runs until it is interrupted. No other machine and no web page can reach it.",
      {"suture serve models/grpo", "suture serve models/grpo --port 0 --device cuda --dtype bf16"},
      {"port", "device", "dtype", "batch", "ignore-unknown-settings", "threads", "quiet"},
      1,
      1};
  return spec;
}

}  // namespace suture::apps
