#include "surgery/compare_names.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "suture/error.h"

#include "names/contradicted_heads.h"
#include "names/fused_projections.h"
#include "names/tensors_by_name.h"
#include "names/tower.h"

namespace suture {
namespace {

void report_readings(Comparison& c) {
  for (const auto& [mapping, under] : {std::pair{&c.other.own_mapping, std::string("its base")},
                                       {&c.other.mapping, c.reference.name}}) {
    if (mapping->empty()) continue;
    c.result.names.push_back({c.other.name, under, mapping->rules});
    c.report(Severity::kWarning, "names",
             c.other.name + " is read under the names of " + under + ": " + mapping->to_string(),
             "each tensor is taken for the one that has its place there, by name and shape", "");
  }
  std::vector<std::string> problems = c.other.mapping.problems;
  const std::string contradiction =
      contradicted_heads(c.other.own_mapping, c.other.config.structure);
  if (!contradiction.empty()) problems.push_back(contradiction + " by the config of its base");
  for (const std::string& problem : problems) {
    c.report(Severity::kBlocker, "names",
             c.other.name + " under the names of " + c.reference.name + ": " + problem,
             "their names differ, and no reading of them is certain",
             "use models with the same names, or --allow names to leave them unmapped");
  }
}

// The name of the same weights in the reference's other form, fused or split, which `others` lack;
// empty where there is none.
std::string twin_of(const std::string& name, const TensorsByName& reference,
                    const TensorsByName& others) {
  const auto place = fusion_place_of(name);
  if (!place) return {};
  const std::size_t count = place->is_fused ? place->fusion->count : 1;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string twin =
        place->name_of(place->is_fused ? place->fusion->split[i] : place->fusion->fused);
    if (reference.count(twin) > 0 && others.count(twin) == 0) return twin;
  }
  return {};
}

// By a name of the reference; of other names it is not asked.
bool reaches(const Participant& participant, const std::string& name) {
  return !participant.mapping.empty() || participant.reaches(name);
}

void report_twins(Comparison& c, const TensorsByName& reference, const TensorsByName& others) {
  for (const TensorInfo& tensor : *c.other.tensors) {
    if (reference.count(tensor.name) == 0 || !reaches(c.other, tensor.name)) continue;
    const std::string twin = twin_of(tensor.name, reference, others);
    if (twin.empty()) continue;
    return c.report(Severity::kBlocker, "names",
                    c.reference.name + " holds " + printable(twin) + " beside " +
                        printable(tensor.name) + ", " + c.other.name + " the latter alone",
                    "one projection under two names would be half changed",
                    "remove one form from the model, or --allow names to change what has the "
                    "vector's names");
  }
}

// Whether everything of tower `from` is under the prefix `to` as well, with the same shapes.
bool holds_again(const TensorsByName& reference, std::string_view from, std::string_view to) {
  return std::all_of(reference.begin(), reference.end(), [&](const auto& entry) {
    if (tower_of(entry.first) != from) return true;
    const auto at = reference.find(std::string(to) + std::string(entry.first.substr(from.size())));
    return at != reference.end() && at->second->shape == entry.second->shape;
  });
}

// Whether the first matrices of one tower begin as those of the other do: two encoders may have
// one shape.
bool begins_alike(const Participant& model, const TensorsByName& tensors, std::string_view from,
                  std::string_view to) {
  constexpr std::size_t kMatrices = 4;
  constexpr std::uint64_t kBytes = 64;
  std::size_t compared = 0;
  for (const TensorInfo& tensor : *model.tensors) {
    if (compared == kMatrices) break;
    if (tensor.shape.size() < 2 || tower_of(tensor.name) != from) continue;
    const TensorInfo& other =
        *tensors.at(std::string(to) + std::string(tensor.name.substr(from.size())));
    if (tensor.dtype != other.dtype) return false;
    const auto bytes = static_cast<std::size_t>(std::min(kBytes, tensor.bytes));
    std::string mine(bytes, '\0'), theirs(bytes, '\0');
    model.source->read(tensor, 0, bytes, mine.data());
    model.source->read(other, 0, bytes, theirs.data());
    if (mine != theirs) return false;
    ++compared;
  }
  return true;
}

void report_second_towers(Comparison& c, const TensorsByName& reference) {
  const Towers towers = towers_of(*c.reference.tensors);
  if (towers.size() > kMostTowers) return;
  const auto shared = common_towers(*c.reference.tensors, *c.other.tensors);
  for (const std::string& tower : towers) {
    if (shared.count(tower) > 0) continue;
    for (const std::string_view own : shared) {
      if (!holds_again(reference, own, tower) || !holds_again(reference, tower, own) ||
          !begins_alike(c.reference, reference, own, tower))
        continue;
      c.report(Severity::kBlocker, "names",
               c.reference.name + " holds all of " + shown_tower(std::string(own)) + " as " +
                   shown_tower(tower) + " as well",
               "the first alone would be changed, and these are the same weights",
               "remove one of them from the model, or --allow names to change the first");
    }
  }
}

}  // namespace

void compare_names(Comparison& c) {
  report_readings(c);
  const TensorsByName reference = by_name(*c.reference.tensors), others = by_name(*c.other.tensors);
  report_twins(c, reference, others);
  report_second_towers(c, reference);
}

}  // namespace suture
