#include "common/command.h"

namespace suture::apps {

const CommandSpec& extract_spec() {
  static const CommandSpec spec{
      "extract",
      "extract TUNED BASE -o VECTOR",
      "write the task vector TUNED - BASE",
      "Writes v = TUNED - BASE with the model's own tensor names. Each tensor is stored in the "
      "narrowest of\n"
      "bf16, f16, f32 and f64 that gives TUNED back bit for bit from BASE + v. The file says where "
      "it came\n"
      "from. With --lora or --energy a LoRA adapter for BASE instead, which PEFT loads: a folder "
      "with its\n"
      "config, and the error left over per layer; TUNED may then be a stored vector. Else it may "
      "be "
      "a LoRA\n"
      "adapter of BASE, whose differences are stored densely.",
      {"suture extract models/grpo models/sft -o reasoning.safetensors",
       "suture extract models/grpo models/sft -o adapter --lora 32"},
      {"output",  "only",    "except",         "dtype",
       "sparse",  "lora",    "energy",         "low-rank-embeddings",
       "vocab",   "allow",   "max-shard-size", "device",
       "threads", "memory",  "seed",           "json",
       "quiet",   "dry-run", "explain",        "force"},
      2,
      2};
  return spec;
}

}  // namespace suture::apps
