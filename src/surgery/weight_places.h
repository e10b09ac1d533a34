#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/state_dict.h"

#include "surgery/form.h"
#include "surgery/resident_updates.h"

namespace suture {

/// Memory that weights live in: one tensor, or several that are the same view of it (a tied head).
struct WeightPlace {
  at::Tensor weight;
  const void* data = nullptr;          ///< Where it was when the place was made,
  std::vector<std::int64_t> shape{};   ///< and of which shape.
  std::vector<std::string> names{};    ///< At least one.
  std::vector<std::size_t> clashes{};  ///< Places that share a part of its memory.
  std::string unfit{};  ///< Why it cannot be written element by element; mostly empty.

  /// Dense in CPU memory: written where it is.
  bool is_flat() const { return weight.is_cpu() && weight.is_contiguous(); }
  std::uint64_t elements() const { return static_cast<std::uint64_t>(weight.numel()); }
};

/// The places of a state dict. Immutable.
class WeightPlaces {
 public:
  explicit WeightPlaces(const StateDict& weights);

  std::size_t size() const { return places_.size(); }
  const WeightPlace& operator[](std::size_t index) const { return places_[index]; }

  /// The place of the tensor called `name`.
  std::optional<std::size_t> find(const std::string& name) const;

  /// Throws UsageError when an operand of the terms lies in some place's memory.
  void require_apart(const std::string& name, const std::vector<ActiveTerm>& terms) const;

 private:
  void find_clashes();

  std::vector<WeightPlace> places_;
  std::unordered_map<std::string, std::size_t> by_name_;
  AddressRanges memory_;
};

}  // namespace suture
