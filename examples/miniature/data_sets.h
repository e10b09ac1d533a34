#pragma once

#include <functional>
#include <string>

#include "random.h"
#include "skills.h"

namespace miniature {

/// What a model is trained on: a prompt, which it only reads, and an answer.
struct Example {
  std::string prompt, answer;
};

/// Draws an example.
using DataSet = std::function<Example(Random&)>;

/// Draws a problem whose answer can be verified.
using ProblemSet = std::function<Problem(Random&)>;

/// A prompt as a chat's user says it, up to where the assistant answers.
std::string chat(const std::string& prompt);

/// Every skill, plainly and in the chat format, some of it badly.
Example base_example(Random& random);

/// What SFT and GRPO train: sums, and reversals, which GRPO may not spoil.
Problem sum_or_reversal(Random& random);

/// The same problems with answers, some of the sums with steps.
Example sft_example(Random& random);

/// The chat format, mostly without steps.
Example instruct_example(Random& random);

/// Shifted letters.
Example shift_example(Random& random);

}  // namespace miniature
