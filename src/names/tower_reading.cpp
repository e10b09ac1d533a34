#include "names/tower_reading.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "suture/error.h"

#include "names/fused_projections.h"
#include "names/tower.h"

namespace suture {
namespace {

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('.') + 1); }

// A projection and its rows in a fused tensor; no tensor where there is none of that name.
struct FusedPart {
  std::string name;
  const TensorInfo* tensor = nullptr;
  std::int64_t rows = 0;
};

bool is_there(const FusedPart& part) { return part.tensor != nullptr; }

// `q_proj + k_proj + v_proj -> qkv_proj`, or the other way round.
std::string rule_of(const Fusion& fusion, bool joins, const std::vector<FusedPart>& parts) {
  std::string split, absent;
  for (const FusedPart& part : parts) {
    std::string& list = is_there(part) ? split : absent;
    const std::string_view module = std::string_view(part.name).substr(0, part.name.rfind('.'));
    list += (list.empty() ? "" : " + ") + printable(std::string(last_part(module)));
  }
  const std::string fused(last_part(fusion.fused));
  return (joins ? split + " -> " + fused : fused + " -> " + split) +
         (absent.empty() ? "" : " without " + absent);
}

class TowerReader {
 public:
  TowerReader(const TensorsByName& from, const TensorsByName& to, std::string from_tower,
              std::string to_tower, Absent absent)
      : from_(from), to_(to), absent_(absent) {
    reading_.from = std::move(from_tower);
    reading_.to = std::move(to_tower);
  }

  TowerReading read(const std::vector<const TensorInfo*>& tensors) {
    for (const TensorInfo* tensor : tensors) {
      if (reading_.conflict.empty() && visited_.count(tensor->name) == 0) place(*tensor);
    }
    return std::move(reading_);
  }

 private:
  std::string name_in_to(std::string_view name) const {
    return reading_.to + std::string(name.substr(reading_.from.size()));
  }

  void place(const TensorInfo& tensor) {
    const std::string name = name_in_to(tensor.name);
    const bool keeps_name = find(to_, tensor.name) != nullptr;
    const TensorInfo* direct = find(to_, name);
    if (keeps_name) {
      if (direct != nullptr && name != tensor.name) reading_.also_by_own_name = tensor.name;
      if (reading_.from == reading_.to || direct == nullptr) return;
    }
    const auto here = fusion_place_of(tensor.name), there = fusion_place_of(name);
    // A module that stands by itself under one prefix has no place in a layer under another.
    const bool has_places = here && there;
    const bool is_split_there = has_places && here->is_fused && has_any_part(*there);
    const bool is_fused_there =
        has_places && !here->is_fused && find(to_, there->name_of(there->fusion->fused)) != nullptr;
    if (direct != nullptr && (is_split_there || is_fused_there)) {
      fail(printable(name) + " stands beside " +
           (is_fused_there ? there->name_of(there->fusion->fused) : "projections by themselves") +
           ": either could be meant");
    } else if (direct != nullptr) {
      rename(tensor, *direct);
    } else if (is_split_there) {
      split(tensor, *here, *there);
    } else if (is_fused_there) {
      join(tensor, *here, *there);
    } else if (tower_of(tensor.name)) {
      ++reading_.missing;
    }
  }

  bool has_any_part(const FusionPlace& there) const {
    for (std::size_t i = 0; i < there.fusion->count; ++i) {
      if (find(to_, there.name_of(there.fusion->split[i])) != nullptr) return true;
    }
    return false;
  }

  void fail(std::string conflict) {
    if (reading_.conflict.empty()) reading_.conflict = std::move(conflict);
  }

  // Counts a tensor of `from` as reached.
  void reach(const TensorInfo& tensor) {
    visited_.insert(tensor.name);
    ++reading_.reached;
    reading_.has_layers = reading_.has_layers || tower_of(tensor.name).has_value();
  }

  void add(NameMapping::Tensor tensor) {
    // Also a tensor that keeps its name has one there.
    if (find(from_, tensor.name) != nullptr && !moves_away(tensor.name)) reading_.is_taken = true;
    if (!claimed_.insert(tensor.name).second)
      fail("two tensors would be " + printable(tensor.name));
    reading_.tensors.push_back(std::move(tensor));
  }

  // A name that both models have is free again where its tower is read as another.
  bool moves_away(const std::string& name) const {
    return reading_.from != reading_.to && tower_of(name) == std::string_view(reading_.from);
  }

  void rename(const TensorInfo& tensor, const TensorInfo& there) {
    if (!fits(tensor, there)) {
      return fail(printable(tensor.name) + " is " + to_string(tensor.shape) + ", " +
                  printable(there.name) + " " + to_string(there.shape));
    }
    reach(tensor);
    add(renamed(tensor, there.name));
  }

  // The projections of a fusion in one of the models; empty, and a conflict, when they do not make
  // up `whole`.
  std::vector<FusedPart> parts_of(const TensorInfo& whole, const FusionPlace& place,
                                  const TensorsByName& names, Absent absent) {
    std::vector<FusedPart> parts;
    std::array<std::int64_t, 3> rows{};
    bool fit = is_computable(whole.dtype) && !whole.shape.empty();
    for (std::size_t i = 0; i < place.fusion->count; ++i) {
      const std::string name = place.name_of(place.fusion->split[i]);
      const TensorInfo* tensor = find(names, name);
      if (tensor == nullptr && absent == Absent::kRefused) {
        fail("no " + printable(name) + " to go with " + printable(whole.name) +
             ": which rows are whose cannot be told");
        return {};
      }
      if (tensor != nullptr) {
        fit = fit && same_row_shape(*tensor, whole) && is_computable(tensor->dtype);
        rows[i] = rows_of(*tensor);
      }
      parts.push_back({name, tensor, 0});
    }
    fit = fit && complete_rows(*place.fusion, rows_of(whole), rows);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      parts[i].rows = rows[i];
      fit = fit && (!is_there(parts[i]) || rows_of(*parts[i].tensor) == rows[i]);
    }
    if (fit) return parts;
    fail_to_fit(whole, parts);
    return {};
  }

  static std::string shown_shape(const TensorInfo& tensor) {
    const std::string shape = to_string(tensor.shape);
    return is_computable(tensor.dtype) ? shape : std::string(name_of(tensor.dtype)) + " " + shape;
  }

  void fail_to_fit(const TensorInfo& whole, const std::vector<FusedPart>& parts) {
    std::string modules, shapes, absent;
    for (const FusedPart& part : parts) {
      if (!is_there(part)) absent += (absent.empty() ? "" : " and ") + printable(part.name);
      if (!is_there(part)) continue;
      modules += (modules.empty() ? "" : " + ") +
                 std::string(last_part(part.name.substr(0, part.name.rfind('.'))));
      shapes += (shapes.empty() ? "" : " + ") + shown_shape(*part.tensor);
    }
    fail(printable(whole.name) + " is " + shown_shape(whole) + ", " + printable(modules) + " " +
         shapes + (absent.empty() ? "" : ", which leaves no rows for " + absent));
  }

  void note(const FusionPlace& place, bool joins, const std::vector<FusedPart>& parts) {
    reading_.fusions[rule_of(*place.fusion, joins, parts)].insert(place.stem);
  }

  void split(const TensorInfo& fused, const FusionPlace& here, const FusionPlace& there) {
    const auto parts = parts_of(fused, there, to_, Absent::kRefused);
    if (parts.empty()) return;
    reach(fused);
    note(here, false, parts);
    std::int64_t row = 0;
    for (const FusedPart& part : parts) {
      add({part.name, {{fused.name, row, part.rows}}});
      row += part.rows;
    }
  }

  void join(const TensorInfo& tensor, const FusionPlace& here, const FusionPlace& there) {
    const TensorInfo& fused = *find(to_, there.name_of(there.fusion->fused));
    // `from` has both forms, or `to` has some parts of its own beside the whole.
    if (find(from_, here.name_of(here.fusion->fused)) != nullptr || has_any_part(there)) {
      return fail(printable(tensor.name) + " stands beside " + printable(fused.name) +
                  ": either could be meant");
    }
    const auto parts = parts_of(fused, here, from_, absent_);
    if (parts.empty()) return;
    for (const FusedPart& part : parts) {
      if (find(to_, part.name) != nullptr)
        return fail(printable(part.name) + " stands beside " + printable(fused.name) +
                    ": either could be meant");
    }
    note(here, true, parts);
    NameMapping::Tensor joined{fused.name, {}};
    for (const FusedPart& part : parts) {
      if (is_there(part)) reach(*part.tensor);
      joined.parts.push_back({part.name, 0, part.rows});
    }
    add(std::move(joined));
  }

  const TensorsByName& from_;
  const TensorsByName& to_;
  const Absent absent_;
  TowerReading reading_;
  std::unordered_set<std::string> visited_, claimed_;
};

}  // namespace

TowerReading read_tower(const TensorsByName& from, const TensorsByName& to,
                        const std::vector<const TensorInfo*>& tensors,
                        const std::string& from_tower, const std::string& to_tower, Absent absent) {
  return TowerReader(from, to, from_tower, to_tower, absent).read(tensors);
}

bool fits(const TensorInfo& from, const TensorInfo& to) {
  return from.shape == to.shape || (has_token_rows(to) && same_row_shape(from, to));
}

NameMapping::Tensor renamed(const TensorInfo& from, const std::string& to) {
  return {to, {{from.name, 0, rows_of(from)}}};
}

}  // namespace suture
