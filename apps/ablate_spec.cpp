#include "common/command.h"

namespace suture::apps {

const CommandSpec& ablate_spec() {
  static const CommandSpec spec{
      "ablate",
      "ablate TARGET VECTOR[@SCALE]... --task FILE...",
      "what does each layer of a vector contribute to a model's scores?",
      "Scores the target with the vector, and with parts of it left out or kept: by layer, block "
      "or "
      "module.\n"
      "Controls come along: the target alone, the vector negated, random vectors of the same "
      "norms, "
      "layers\n"
      "in another order. Effects are paired on the same records, with 95 % intervals, and p values "
      "that\n"
      "are corrected over the arms. With -o, every finished arm is kept: the same command goes on "
      "with a\n"
      "run that was stopped. docs/ablation.md tells how to read the results.",
      {"suture ablate models/instruct reasoning.safetensors --task gsm8k.jsonl -o layers",
       "suture ablate models/instruct 'grpo - sft' --task sciq.jsonl --design only-one --by "
       "layer,block"},
      {"task",
       "output",
       "design",
       "by",
       "arm",
       "scale",
       "only",
       "except",
       "no-controls",
       "random-seeds",
       "permutations",
       "seed",
       "eval-cmd",
       "limit",
       "json",
       "csv",
       "dtype",
       "device",
       "batch",
       "max-new-tokens",
       "add-bos",
       "apply-chat-template",
       "system-instruction",
       "ignore-unknown-settings",
       "allow",
       "vocab",
       "threads",
       "memory",
       "dry-run",
       "force",
       "ascii",
       "quiet"},
      2};
  return spec;
}

}  // namespace suture::apps
