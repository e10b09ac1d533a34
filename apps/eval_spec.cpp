#include "common/command.h"

namespace suture::apps {

const CommandSpec& eval_spec() {
  static const CommandSpec spec{
      "eval",
      "eval MODEL --task FILE...",
      "score a model on tasks: choices, generated answers, likelihood of texts",
      "Scores as lm-evaluation-harness does, with an error and a 95 % interval for each figure. A "
      "task is a\n"
      "file of JSON lines; docs/evaluation.md tells how to write one and how to convert known "
      "benchmarks.\n"
      "With -o, results and samples are written in the harness's own layout. Code that a model "
      "writes is\n"
      "never run: --write-completions leaves it to a program outside.",
      {"suture eval models/instruct --task gsm8k.jsonl --limit 200",
       "suture eval org/name --task sciq.jsonl --task wiki.jsonl -o results --json -"},
      {"task", "limit", "output", "json", "dtype", "device", "batch", "max-new-tokens", "add-bos",
       "apply-chat-template", "system-instruction", "score-targets", "write-completions",
       "ignore-unknown-settings", "threads", "quiet"},
      1,
      1};
  return spec;
}

}  // namespace suture::apps
