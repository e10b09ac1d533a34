#include "common/command.h"

namespace suture::apps {
namespace {

// Both score arms on tasks, and show what came of it in the same ways.
std::vector<std::string> with_common_options(std::vector<std::string> options) {
  const auto add = [&](auto... names) { (options.emplace_back(names), ...); };
  add("task", "output", "only", "except", "no-controls", "random-seeds", "permutations", "seed");
  add("eval-cmd", "limit", "json", "csv", "html", "dtype", "device", "batch", "max-new-tokens",
      "add-bos");
  add("apply-chat-template", "system-instruction", "ignore-unknown-settings", "allow", "vocab",
      "head");
  add("threads", "memory", "dry-run", "force", "ascii", "color", "quiet");
  return options;
}

}  // namespace

const CommandSpec& ablate_spec() {
  static const CommandSpec spec{
      "ablate",
      "ablate TARGET VECTOR[@SCALE]... --task FILE...",
      "what does each layer of a vector contribute to a model's scores?",
      "Scores the target with the vector, and with parts of it left out or kept: by layer, block "
      "or module.\n"
      "Controls come along: the target alone, the vector negated, random vectors of the same "
      "norms,\n"
      "layers in another order. Effects are paired on the same records, with 95 % intervals, and p "
      "values "
      "that\n"
      "are corrected over the arms. With -o, every finished arm is kept: the same command goes on "
      "with a\n"
      "run that was stopped. docs/ablation.md tells how to read the results.",
      {"suture ablate models/instruct reasoning.safetensors --task gsm8k.jsonl -o layers",
       "suture ablate models/instruct 'grpo - sft' --task sciq.jsonl --design only-one --by "
       "layer,block"},
      with_common_options({"design", "by", "arm", "scale"}),
      2};
  return spec;
}

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
      with_common_options({"scales"}),
      2};
  return spec;
}

}  // namespace suture::apps
