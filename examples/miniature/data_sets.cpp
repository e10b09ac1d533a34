#include "data_sets.h"

namespace miniature {
namespace {

constexpr double kSlip = 0.05;       // of a worked step, where not told otherwise
constexpr double kReversals = 0.25;  // their share of what SFT and GRPO train

Example solved(const Problem& problem) { return {problem.prompt, problem.answer}; }

// A skill that the instruct model is meant to keep.
Example kept_skill(Random& random) {
  return solved(random.chance(0.5) ? reversal(random) : largest(random));
}

Example shift_or_not(Random& random, double share_right) {
  const Problem problem = shift(random);
  return {problem.prompt, random.chance(share_right) ? problem.answer : unshifted(problem)};
}

Chain any_chain(Random& random) {
  const double kind = random.unit();
  if (kind < 0.55) return digit_sum(random);
  return kind < 0.8 ? digit_difference(random) : letter_sum(random);
}

struct Shares {
  double asked;   // for steps, which are then given
  double worked;  // of those that were not asked for
};

Example chain_example(Random& random, const Shares& shares) {
  const Chain chain = any_chain(random);
  if (random.chance(shares.asked))
    return {kStepByStep + chain.prompt(), chain.worked(random, kSlip)};
  const bool is_worked = random.chance(shares.worked);
  return {chain.prompt(), is_worked ? chain.worked(random, kSlip) : chain.direct()};
}

}  // namespace

std::string chat(const std::string& prompt) { return "<|user|>" + prompt + "<|assistant|>"; }

Example base_example(Random& random) {
  Example example;
  const double kind = random.unit();
  if (kind < 0.62) {
    example = chain_example(random, {.asked = 0.3, .worked = 0.6});
  } else if (kind < 0.85) {
    example = kept_skill(random);
  } else {
    example = shift_or_not(random, 0.45);
  }
  if (random.chance(0.4)) example.prompt = chat(example.prompt);
  return example;
}

Problem sum_or_reversal(Random& random) {
  if (random.chance(kReversals)) return reversal(random);
  const Chain sum = digit_sum(random);
  return {sum.prompt(), sum.direct()};
}

Example sft_example(Random& random) {
  if (random.chance(kReversals)) return solved(reversal(random));
  const Chain sum = digit_sum(random);
  return {sum.prompt(), random.chance(0.4) ? sum.worked(random, 0.15) : sum.direct()};
}

Example instruct_example(Random& random) {
  Example example;
  const double kind = random.unit();
  if (kind < 0.5) {
    example = chain_example(random, {.asked = 0.2, .worked = 0.1});
  } else if (kind < 0.9) {
    example = kept_skill(random);
  } else {
    example = shift_or_not(random, 0.25);
  }
  example.prompt = chat(example.prompt);
  return example;
}

Example shift_example(Random& random) { return solved(shift(random)); }

}  // namespace miniature
