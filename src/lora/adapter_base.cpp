#include "lora/adapter_base.h"

#include <algorithm>
#include <set>
#include <utility>

#include "suture/error.h"

#include "core/nearest_name.h"
#include "names/mapped_source.h"
#include "names/name_mapping.h"
#include "names/token_matrices.h"

namespace suture::lora {
namespace {

// The base's tensors that the adapter speaks of, with their shapes if weights are, or are not,
// stored as inputs × outputs.
std::vector<TensorInfo> adapted_tensors(const AdapterTensors& tensors, bool transposed) {
  std::vector<TensorInfo> adapted;
  std::set<std::string> known;
  const auto add = [&](const std::string& name, const TensorInfo& like,
                       std::vector<std::int64_t> shape) {
    if (!known.insert(name).second) return;
    adapted.push_back(like);
    adapted.back().name = name;
    adapted.back().shape = std::move(shape);
  };
  for (const auto& [module, factors] : tensors.factors) {
    std::vector<std::int64_t> shape{factors.b->shape[0], factors.a->shape[1]};
    if (transposed || factors.embedding) std::swap(shape[0], shape[1]);
    add(module + ".weight", *factors.a, std::move(shape));
    if (factors.bias != nullptr) add(module + ".bias", *factors.bias, factors.bias->shape);
  }
  for (const auto& [name, tensor] : tensors.whole) add(name, *tensor, tensor->shape);
  return adapted;
}

NameMapping mapping_onto(const Checkpoint& base, const AdapterTensors& tensors,
                         bool fan_in_fan_out) {
  const auto reading = [&](bool transposed) {
    return mapping_between(adapted_tensors(tensors, transposed), base.tensors(), Absent::kZero);
  };
  NameMapping by_config = reading(fan_in_fan_out);
  if (by_config.problems.empty()) return by_config;
  NameMapping by_shapes = reading(!fan_in_fan_out);
  return by_shapes.problems.empty() ? by_shapes : by_config;
}

}  // namespace

AdapterBase::AdapterBase(const Checkpoint& base, const AdapterTensors& tensors, bool fan_in_fan_out)
    : mapping_(mapping_onto(base, tensors, fan_in_fan_out)), shown_(make_source(base)) {
  if (!mapping_.empty()) shown_ = rename_source(shown_, inverse_of(mapping_, base.tensors()));
  embedding_ = token_embedding_of(shown_->tensors());
}

const TensorInfo* AdapterBase::find(const std::string& name) const {
  if (const TensorInfo* own = shown_->find(name)) return own;
  return is_language_head(name) ? embedding_ : nullptr;
}

const TensorInfo& AdapterBase::require(const std::string& name,
                                       const std::vector<std::int64_t>& shape,
                                       const TensorInfo& stored, const std::string& file) const {
  const TensorInfo* own = find(name);
  if (own == nullptr || !is_computable(own->dtype)) {
    std::vector<std::string> names;
    for (const TensorInfo& tensor : shown_->tensors()) names.push_back(tensor.name);
    throw FormatError(
        {file, stored.name, printable(shown_->name()) + " has no float tensor " + printable(name),
         "the base that the adapter was trained on",
         mapping_.problems.empty() ? did_you_mean(name, std::move(names))
                                   : "its names differ, and no reading of them is certain: " +
                                         mapping_.problems.front()});
  }
  if (own->shape != shape)
    throw FormatError({file, stored.name,
                       to_string(shape) + " for " + printable(name) + " of " +
                           to_string(own->shape) + " in " + printable(shown_->name()),
                       "equal shapes", "name the base that the adapter was trained on"});
  return *own;
}

}  // namespace suture::lora
