#include "common/command.h"

namespace suture::apps {

const CommandSpec& explore_spec() {
  static const CommandSpec spec{
      "explore",
      "explore TARGET VECTOR[@SCALE]... [--task FILE]",
      "change the injection by hand in the browser, and see what it does",
      "Serves an interactive page on 127.0.0.1, behind a random address that it prints. Drag "
      "scales, "
      "switch\n"
      "layers and modules on and off: the page shows what rounding leaves of the change, and with "
      "a "
      "task the\n"
      "score and a sample answer of the model with exactly that injection, made in place and "
      "undone "
      "to the\n"
      "bit. A button writes the model into the folder that -o names (default: the current one), or "
      "gives the\n"
      "command that makes it. No other machine and no other web page can reach it.",
      {"suture explore models/instruct reasoning.safetensors --task gsm8k.jsonl",
       "suture explore models/instruct 'grpo - sft' other.safetensors@0.5"},
      {"task",
       "limit",
       "prompt",
       "only",
       "except",
       "output",
       "port",
       "apply-chat-template",
       "system-instruction",
       "add-bos",
       "max-new-tokens",
       "batch",
       "device",
       "dtype",
       "ignore-unknown-settings",
       "vocab",
       "head",
       "allow",
       "threads",
       "memory",
       "quiet"},
      2};
  return spec;
}

}  // namespace suture::apps
