#pragma once

#include <cstdint>
#include <random>

#include <ATen/core/Tensor.h>

#include "suture/causal_model.h"

namespace suture::model {

/// Chooses tokens from scores of the vocabulary, as transformers does: temperature first, then the
/// k likeliest, then the fewest that hold `top_p` of what is left. One per sequence.
class Sampler {
 public:
  /// Throws UsageError for settings that mean nothing.
  explicit Sampler(const Sampling& sampling);

  bool is_greedy() const { return sampling_.temperature == 0; }

  /// A token drawn from `logits`, f32 [vocab_size] on the CPU.
  std::int64_t draw(const at::Tensor& logits);

 private:
  Sampling sampling_;
  std::mt19937_64 generator_;
};

}  // namespace suture::model
