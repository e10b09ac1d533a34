#include "common/command.h"

namespace suture::apps {

const CommandSpec& sweep_spec() {
  static const CommandSpec spec{
      "sweep",
      "sweep TARGET VECTOR[@SCALE]... --scales S,... --task FILE...",
      "how do a model's scores change with the scale of a vector?",
      "Scores the target alone and with the vector at each scale. The controls of `ablate` come "
      "along, at\n"
      "the scale of the largest size. With -o, the same command goes on with a run that was "
      "stopped.",
      {"suture sweep models/instruct reasoning.safetensors --scales 0.25,0.5,1 --task gsm8k.jsonl",
       "suture sweep models/instruct reasoning.safetensors other.safetensors@0.5 --scales -1,1 "
       "--task t.jsonl -o sweep"},
      {"scales",
       "task",
       "output",
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
