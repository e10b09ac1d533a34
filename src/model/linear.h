#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "stream/thread_team.h"

namespace suture::model {

/// A linear layer's tensors as the state dict holds them: weight [out, in], bias [out] or
/// undefined.
struct LinearWeights {
  at::Tensor weight, bias;
};

/// Multiplies activations with weights that stay in their stored dtype. On the CPU in float32, few
/// inputs go through kernels::weight_product, which reads each weight once as it is stored; many
/// through LibTorch's matrix product, after the layer's weights have been widened. Elsewhere
/// weights are converted to the activations' dtype as they are used. Not synchronised.
class LinearEngine {
 public:
  explicit LinearEngine(unsigned threads) : team_(std::make_unique<stream::ThreadTeam>(threads)) {}

  /// `inputs` [n, in] times every layer, side by side: [n, sum of out]. All layers have the same
  /// `in`.
  at::Tensor apply(const at::Tensor& inputs, const std::vector<const LinearWeights*>& layers);
  /// The same, each layer's results alone: [n, out].
  std::vector<at::Tensor> apply_each(const at::Tensor& inputs,
                                     const std::vector<const LinearWeights*>& layers);
  at::Tensor apply(const at::Tensor& inputs, const LinearWeights& layer) {
    return apply(inputs, {&layer});
  }

 private:
  std::vector<at::Tensor> multiply_few(const at::Tensor& inputs,
                                       const std::vector<const LinearWeights*>& layers);
  at::Tensor multiply_many(const at::Tensor& inputs, const LinearWeights& layer);

  std::unique_ptr<stream::ThreadTeam> team_;
  at::Tensor block_;  // widened weights, reused
};

}  // namespace suture::model
