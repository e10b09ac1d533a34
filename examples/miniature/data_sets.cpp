#include "data_sets.h"

#include "skills.h"

namespace miniature {
namespace {

constexpr double kSlip = 0.1;  // of a worked step, where not told otherwise

Example solved(const Problem& problem) { return {problem.prompt, problem.answer}; }

// A skill that the instruct model is meant to keep.
Example kept_skill(Random& random) {
  return solved(random.chance(0.5) ? reversal(random) : largest(random));
}

struct Shares {
  double asked;   // for steps, which are then given
  double worked;  // of those that were not asked for
};

Example calculation(Random& random, const Shares& shares) {
  const Calculation task = random.chance(0.4) ? random_difference(random) : random_sum(random);
  if (random.chance(shares.asked)) return {kStepByStep + task.prompt(), task.worked(random, kSlip)};
  const bool is_worked = random.chance(shares.worked);
  return {task.prompt(), is_worked ? task.worked(random, kSlip) : task.direct()};
}

}  // namespace

std::string chat(const std::string& prompt) { return "<|user|>" + prompt + "<|assistant|>"; }

Example base_example(Random& random) {
  Example example;
  const double kind = random.unit();
  if (kind < 0.62) {
    example = calculation(random, {.asked = 0.3, .worked = 0.6});
  } else if (kind < 0.85) {
    example = kept_skill(random);
  } else {
    const Problem problem = shift(random);
    example = {problem.prompt, random.chance(0.45) ? problem.answer : unshifted(problem)};
  }
  if (random.chance(0.4)) example.prompt = chat(example.prompt);
  return example;
}

Example sft_example(Random& random) {
  const Calculation sum = random_sum(random);
  return {sum.prompt(), random.chance(0.5) ? sum.worked(random, 0.15) : sum.direct()};
}

Example instruct_example(Random& random) {
  Example example;
  const double kind = random.unit();
  if (kind < 0.5) {
    example = calculation(random, {.asked = 0.2, .worked = 0.05});
  } else if (kind < 0.9) {
    example = kept_skill(random);
  } else {
    const Problem problem = shift(random);
    example = {problem.prompt, unshifted(problem)};
  }
  example.prompt = chat(example.prompt);
  return example;
}

Example shift_example(Random& random) { return solved(shift(random)); }

}  // namespace miniature
