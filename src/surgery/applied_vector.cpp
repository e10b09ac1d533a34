#include "suture/applied_vector.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace suture {

AppliedVector::AppliedVector(const StateDict& weights, TaskVector vector, double scale,
                             const RunOptions& options)
    : weights_(weights), vector_(std::move(vector)), options_(options) {
  for (const std::string& name : vector_.names()) {
    if (const at::Tensor* tensor = weights_.find(name)) kept_.set(name, tensor->detach().clone());
  }
  rescale(scale);
}

AppliedVector::~AppliedVector() { restore(); }

void AppliedVector::rescale(double scale) {
  restore();
  try {
    vector_.apply_to(weights_, scale, options_);
  } catch (...) {
    restore();
    throw;
  }
}

void AppliedVector::restore() {
  const at::NoGradGuard no_gradients;
  for (const auto& [name, tensor] : kept_) weights_.at(name).copy_(tensor);
}

}  // namespace suture
