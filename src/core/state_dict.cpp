#include "suture/state_dict.h"

#include <algorithm>
#include <cstdint>

#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/nn/module.h>

#include "suture/error.h"

#include "core/nearest_name.h"
#include "core/scalar_type.h"

namespace suture {
namespace {

std::string list_names(const char* what, const std::vector<std::string>& names) {
  constexpr std::size_t kMaxShown = 20;
  std::string line = std::to_string(names.size()) + " " + what + ": ";
  for (std::size_t i = 0; i < std::min(names.size(), kMaxShown); ++i)
    line += (i > 0 ? ", " : "") + printable(names[i]);
  return names.size() > kMaxShown ? line + ", ..." : line;
}

void refuse_different_shapes(const StateDict& destination, const StateDict& weights) {
  std::string differing;
  for (const auto& [name, tensor] : weights) {
    const at::Tensor* own = destination.find(name);
    if (own == nullptr || own->sizes() == tensor.sizes()) continue;
    differing += (differing.empty() ? "" : ", ") + printable(name) + " " +
                 to_string(tensor.sizes().vec()) + " for " + to_string(own->sizes().vec());
  }
  if (!differing.empty())
    throw CompatibilityError({{}, {}, "shapes differ: " + differing, "the module's shapes", {}});
}

void refuse_different_names(const KeyReport& report) {
  if (report.missing.empty() && report.unexpected.empty()) return;
  std::string found;
  if (!report.missing.empty()) found += list_names("missing", report.missing);
  if (!report.unexpected.empty())
    found += (found.empty() ? "" : "; ") + list_names("unexpected", report.unexpected);
  throw CompatibilityError(
      {{}, {}, found, "the module's names", "load with Strictness::kLoose to ignore them"});
}

KeyReport compare_names(const StateDict& destination, const StateDict& weights) {
  KeyReport report;
  for (const auto& [name, tensor] : destination) {
    if (!weights.contains(name)) report.missing.push_back(name);
  }
  for (const auto& [name, tensor] : weights) {
    if (!destination.contains(name)) report.unexpected.push_back(name);
  }
  return report;
}

KeyReport copy_into(const StateDict& destination, const StateDict& weights, Strictness strictness) {
  KeyReport report = compare_names(destination, weights);
  if (strictness == Strictness::kStrict) refuse_different_names(report);
  refuse_different_shapes(destination, weights);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : weights) {
    if (const at::Tensor* own = destination.find(name)) own->copy_(tensor);
  }
  return report;
}

}  // namespace

void StateDict::set(std::string name, at::Tensor tensor) {
  const auto [at, is_new] = positions_.emplace(name, entries_.size());
  if (is_new) {
    entries_.emplace_back(std::move(name), std::move(tensor));
  } else {
    entries_[at->second].second = std::move(tensor);
  }
}

const at::Tensor* StateDict::find(std::string_view name) const {
  const auto at = positions_.find(std::string(name));
  return at == positions_.end() ? nullptr : &entries_[at->second].second;
}

const at::Tensor& StateDict::at(std::string_view name) const {
  if (const at::Tensor* tensor = find(name)) return *tensor;
  std::vector<std::string> names;
  for (const auto& [known, tensor] : entries_) names.push_back(known);
  throw UsageError({{},
                    std::string(name),
                    "no tensor of that name",
                    {},
                    did_you_mean(std::string(name), names)});
}

StateDict StateDict::to(at::Device device) const {
  require_device(device);
  StateDict moved;
  for (const auto& [name, tensor] : entries_) moved.set(name, tensor.to(device));
  return moved;
}

StateDict StateDict::clone() const {
  StateDict copy;
  for (const auto& [name, tensor] : entries_) copy.set(name, tensor.detach().clone());
  return copy;
}

StateDict state_dict_of(const torch::nn::Module& module) {
  StateDict weights;
  for (const auto& item : module.named_parameters()) weights.set(item.key(), item.value());
  for (const auto& item : module.named_buffers()) {
    if (item.value().defined()) weights.set(item.key(), item.value());
  }
  return weights;
}

StateDict state_dict_of(const torch::jit::Module& module) {
  StateDict weights;
  for (const auto& item : module.named_parameters()) weights.set(item.name, item.value);
  for (const auto& item : module.named_buffers()) weights.set(item.name, item.value);
  return weights;
}

KeyReport load_into(torch::nn::Module& module, const StateDict& weights, Strictness strictness) {
  return copy_into(state_dict_of(module), weights, strictness);
}

KeyReport load_into(torch::jit::Module& module, const StateDict& weights, Strictness strictness) {
  return copy_into(state_dict_of(module), weights, strictness);
}

}  // namespace suture
