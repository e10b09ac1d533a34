#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/tokenizer.h"

#include "data_sets.h"
#include "transformer.h"

namespace miniature {

/// The tokens of an example, the end among them.
struct Sequence {
  std::vector<std::int64_t> tokens;
  std::size_t prompt_length = 0;
};

Sequence encode(const suture::Tokenizer& tokenizer, const Example& example);

/// Sequences side by side, padded at their right end.
struct Batch {
  at::Tensor tokens;     ///< [sequences, length]
  at::Tensor positions;  ///< Of tokens that predict one of an answer, in the flattened `tokens`.
  at::Tensor targets;    ///< What they should predict.
};

Batch make_batch(const std::vector<Sequence>& sequences);

/// Log-probabilities of a batch's targets, one after the other.
at::Tensor log_probabilities(const Transformer& model, const Batch& batch);

struct Schedule {
  int steps = 0;
  int batch_size = 64;
  double learning_rate = 0;  ///< Warmed up, then falling linearly.
  double weight_decay = 0.01;
};

/// Minimises the answers' cross-entropy with AdamW.
void train(const Transformer& model, const suture::Tokenizer& tokenizer, const DataSet& data_set,
           Random& random, const Schedule& schedule);

/// The learning rate's share at a step: a linear rise over the first steps, a linear fall to a
/// tenth.
double warm_up_and_decay(int step, int steps);

}  // namespace miniature
