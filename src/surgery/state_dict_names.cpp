#include <vector>

#include "suture/name_mapping.h"

#include "core/scalar_type.h"

// Apart from mappings between files, so that a program that only moves files need not load
// LibTorch.
namespace suture {
namespace {

std::vector<TensorInfo> tensors_of(const StateDict& weights) {
  std::vector<TensorInfo> tensors;
  for (const auto& [name, tensor] : weights) tensors.push_back(describe(name, tensor));
  return tensors;
}

}  // namespace

NameMapping mapping_between(const StateDict& from, const StateDict& to) {
  return mapping_between(tensors_of(from), tensors_of(to));
}

NameMapping mapping_between(const TaskVector& from, const StateDict& to) {
  return mapping_between(from, tensors_of(to));
}

}  // namespace suture
