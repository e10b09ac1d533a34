#pragma once

#include "suture/tokenizer.h"

#include "data_sets.h"
#include "random.h"
#include "transformer.h"

namespace miniature {

/// Group relative policy optimisation, one step on each set of samples.
struct GrpoSchedule {
  int steps = 0;
  int prompts = 20;    ///< A step.
  int group_size = 8;  ///< Samples of each prompt, at temperature 1.
  double learning_rate = 0;
  double kl_weight = 0.02;  ///< Of the divergence from where training started.
};

/// Trains a model on problems. The reward is 1 for the right result behind `#`, however
/// it was reached, and 0 else.
void reinforce(const Transformer& model, const Transformer& reference,
               const suture::Tokenizer& tokenizer, const ProblemSet& problem_set, Random& random,
               const GrpoSchedule& schedule);

}  // namespace miniature
