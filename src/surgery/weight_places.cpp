#include "surgery/weight_places.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <ATen/MemoryOverlap.h>

#include "suture/error.h"

namespace suture {
namespace {

std::string why_unfit(const at::Tensor& weight) {
  if (!weight.defined()) return "an undefined tensor";
  if (weight.layout() != at::kStrided) return "a tensor that is not strided";
  if (weight.numel() > 0 && weight.const_data_ptr() == nullptr) return "a tensor without memory";
  if (weight.is_conj() || weight.is_neg()) return "a view that is conjugate or negative by a flag";
  if (at::has_internal_overlap(weight) == at::MemOverlap::Yes)
    return "an expanded tensor, whose elements share memory";
  return {};
}

// Bytes from the first element to behind the last.
std::uint64_t extent(const at::Tensor& weight) {
  std::int64_t last = 0;
  for (std::int64_t d = 0; d < weight.dim(); ++d) last += (weight.size(d) - 1) * weight.stride(d);
  return static_cast<std::uint64_t>(last + 1) * weight.element_size();
}

using View =
    std::tuple<const void*, at::ScalarType, std::vector<std::int64_t>, std::vector<std::int64_t>>;

}  // namespace

WeightPlaces::WeightPlaces(const StateDict& weights) {
  std::map<View, std::size_t> known;
  for (const auto& [name, tensor] : weights) {
    WeightPlace place{tensor};
    place.unfit = why_unfit(tensor);
    std::size_t index = places_.size();
    if (place.unfit.empty() && tensor.numel() > 0) {
      place.data = tensor.const_data_ptr();
      place.shape = tensor.sizes().vec();
      const View view{place.data, tensor.scalar_type(), tensor.sizes().vec(),
                      tensor.strides().vec()};
      index = known.emplace(view, index).first->second;
    }
    by_name_.emplace(name, index);
    if (index == places_.size()) places_.push_back(std::move(place));
    places_[index].names.push_back(name);
  }
  find_clashes();
}

// Views of one memory in other shapes, or of parts of it.
void WeightPlaces::find_clashes() {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].data == nullptr) continue;
    order.push_back(i);
    memory_.add(places_[i].data, extent(places_[i].weight));
  }
  const auto begin = [&](std::size_t i) { return static_cast<const char*>(places_[i].data); };
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return begin(a) < begin(b); });
  for (std::size_t i = 0; i < order.size(); ++i) {
    const char* end = begin(order[i]) + extent(places_[order[i]].weight);
    for (std::size_t j = i + 1; j < order.size() && begin(order[j]) < end; ++j) {
      places_[order[i]].clashes.push_back(order[j]);
      places_[order[j]].clashes.push_back(order[i]);
    }
  }
}

std::optional<std::size_t> WeightPlaces::find(const std::string& name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? std::nullopt : std::optional(at->second);
}

void WeightPlaces::require_apart(const std::string& name,
                                 const std::vector<ActiveTerm>& terms) const {
  const auto require = [&](const TensorSource* source, const TensorInfo* tensor) {
    const at::Tensor* operand = tensor != nullptr ? source->in_memory(*tensor) : nullptr;
    if (operand == nullptr || operand->numel() == 0) return;
    if (!memory_.overlap(operand->const_data_ptr(), operand->nbytes())) return;
    throw UsageError({{},
                      name,
                      "the vector reads the very weights that it is to change",
                      "a vector of checkpoints or of other tensors",
                      "make it from a clone() of the state dict"});
  };
  for (const ActiveTerm& term : terms) {
    require(term.minuend_source, term.minuend);
    require(term.subtrahend_source, term.subtrahend);
  }
}

}  // namespace suture
