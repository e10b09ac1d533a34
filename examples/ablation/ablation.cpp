// Which layers of what a training run taught does another model need? Scores it with the whole
// difference, and with each layer of it left out, beside random vectors of the same size.
//
// usage: ablation TUNED BASE TARGET TASK.jsonl
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <suture/suture.h>

namespace {
void show(const suture::ArmResult& result) {
  std::printf("%-16s %6.3f", result.arm.name.c_str(), result.metrics.front().value);
  const auto& effect = result.effects.front();
  if (effect && effect->low && effect->high) {
    const std::string& reference = result.arm.reference;
    std::printf("  %+.3f (%+.3f to %+.3f) against %s", effect->difference, *effect->low,
                *effect->high, reference.empty() ? "target" : reference.c_str());
  }
  std::printf("\n");
}
}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) throw std::runtime_error("expected TUNED BASE TARGET TASK.jsonl");
  const auto skill = suture::Checkpoint::open(argv[1]) - suture::Checkpoint::open(argv[2]);
  const auto target = suture::Checkpoint::open(argv[3]);
  suture::require_fit(suture::check(target, skill));
  auto model = suture::LanguageModel::open(argv[3]);
  suture::AblationOptions options;
  options.evaluation.limit = 100;
  options.evaluation.chat = suture::ChatTemplate::open(argv[3]);
  const auto arms = suture::ablation_arms(skill, {});  // each layer left out, and the controls
  const auto ablation = suture::ablate(target, model, suture::Tokenizer::open(argv[3]), skill, arms,
                                       {suture::Task::open(argv[4])}, options);
  for (const suture::ArmResult& result : ablation.arms) show(result);
  std::printf("%zu arms; the model holds its own weights again\n", ablation.arms.size());
} catch (const std::exception& error) {
  std::fprintf(stderr, "ablation: %s\n", error.what());
  return 2;
}
