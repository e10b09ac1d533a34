#include "names/name_mapping.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"

#include "names/fused_projections.h"
#include "names/tower.h"

namespace suture {
namespace {

std::string counted(std::size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('.') + 1); }

std::int64_t rows_of(const TensorInfo& tensor) {
  return tensor.shape.empty() ? 1 : tensor.shape.front();
}

bool same_row_shape(const TensorInfo& a, const TensorInfo& b) {
  return a.shape.size() == b.shape.size() && !a.shape.empty() &&
         std::equal(a.shape.begin() + 1, a.shape.end(), b.shape.begin() + 1);
}

bool has_token_rows(const TensorInfo& tensor) {
  const Block block = site_of(tensor.name).block;
  return tensor.shape.size() == 2 && (block == Block::kEmbedding || block == Block::kHead);
}

bool fits(const TensorInfo& from, const TensorInfo& to) {
  return from.shape == to.shape || (has_token_rows(to) && same_row_shape(from, to));
}

NameMapping::Tensor renamed(const TensorInfo& from, const std::string& to) {
  return {to, {{from.name, 0, rows_of(from)}}};
}

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

using ByName = std::unordered_map<std::string_view, const TensorInfo*>;

ByName by_name(const std::vector<TensorInfo>& tensors) {
  ByName names;
  for (const TensorInfo& tensor : tensors) names.emplace(tensor.name, &tensor);
  return names;
}

const TensorInfo* find(const ByName& names, std::string_view name) {
  const auto at = names.find(name);
  return at == names.end() ? nullptr : at->second;
}

// What is mapped if one tower of `from` is read as one of `to`.
struct Reading {
  std::string from, to;  // the towers' prefixes
  std::vector<NameMapping::Tensor> tensors;
  std::size_t reached = 0;       // tensors of `from`
  std::size_t missing = 0;       // of the layers and the embedding, those without counterpart
  bool has_layers = false;       // some tensor of the layers or the embedding is reached
  bool is_taken = false;         // leads to a tensor that another has by its own name
  std::string conflict;          // the first shape that does not fit, or name with two readings
  std::string also_by_own_name;  // a tensor that `to` has under its old name as well
  std::map<std::string, std::set<std::string>> fusions;  // rule to the layers that it is used in

  bool is_valid() const { return conflict.empty() && !is_taken && has_layers; }
  std::string shown() const { return printable(from) + "* -> " + printable(to) + "*"; }
};

class TowerReader {
 public:
  TowerReader(const ByName& from, const ByName& to, std::string from_tower, std::string to_tower,
              Absent absent)
      : from_(from), to_(to), absent_(absent) {
    reading_.from = std::move(from_tower);
    reading_.to = std::move(to_tower);
  }

  Reading read(const std::vector<const TensorInfo*>& tensors) {
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
                                  const ByName& names, Absent absent) {
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
      if (!is_there(part) && find(to_, part.name) != nullptr)
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

  const ByName& from_;
  const ByName& to_;
  const Absent absent_;
  Reading reading_;
  std::unordered_set<std::string> visited_, claimed_;
};

class Mapper {
 public:
  Mapper(const std::vector<TensorInfo>& from, const std::vector<TensorInfo>& to, Absent absent)
      : from_(by_name(from)),
        to_(by_name(to)),
        all_from_(from),
        all_to_(to),
        from_towers_(towers_of(from)),
        to_towers_(towers_of(to)),
        absent_(absent) {}

  NameMapping map() {
    const bool has_strangers = std::any_of(all_from_.begin(), all_from_.end(), [&](const auto& t) {
      return find(to_, t.name) == nullptr;
    });
    if (!has_strangers) return {};
    if (std::max(from_towers_.size(), to_towers_.size()) > kMostTowers) {
      result_.problems.push_back(std::to_string(std::max(from_towers_.size(), to_towers_.size())) +
                                 " prefixes stand before layers and embeddings");
      return std::move(result_);
    }
    read_towers();
    map_heads();
    refuse_other_layouts();
    if (!result_.problems.empty()) {
      result_.tensors.clear();
      result_.rules.clear();
    }
    return std::move(result_);
  }

 private:
  std::map<std::string, std::vector<const TensorInfo*>> tensors_by_tower() const {
    std::map<std::string, std::vector<const TensorInfo*>> groups;
    for (const TensorInfo& tensor : all_from_) {
      if (const auto tower = tower_around(tensor.name, from_towers_))
        groups[std::string(*tower)].push_back(&tensor);
    }
    return groups;
  }

  void read_towers() {
    std::vector<Reading> chosen;
    std::vector<Reading> failed;
    for (const auto& [tower, tensors] : tensors_by_tower()) {
      const bool has_strangers = std::any_of(tensors.begin(), tensors.end(), [&](const auto* t) {
        return find(to_, t->name) == nullptr;
      });
      if (has_strangers) choose(tower, tensors, chosen, failed);
    }
    refuse_two_of_one_place(chosen);
    for (const Reading& reading : failed) report_failed(reading, chosen);
    for (Reading& reading : chosen) take(std::move(reading));
  }

  void choose(const std::string& tower, const std::vector<const TensorInfo*>& tensors,
              std::vector<Reading>& chosen, std::vector<Reading>& failed) {
    std::vector<Reading> valid, misfits;
    for (const std::string& place : to_towers_) {
      Reading reading = TowerReader(from_, to_, tower, place, absent_).read(tensors);
      if (reading.is_valid()) {
        valid.push_back(std::move(reading));
      } else if (!reading.conflict.empty() && !reading.is_taken) {
        misfits.push_back(std::move(reading));
      }
    }
    // A reading that leaves nothing over is the better one; two of a kind are one too many.
    const auto is_complete = [](const Reading& reading) { return reading.missing == 0; };
    if (std::any_of(valid.begin(), valid.end(), is_complete)) {
      valid.erase(std::remove_if(valid.begin(), valid.end(), std::not_fn(is_complete)),
                  valid.end());
    }
    if (valid.size() > 1) {
      std::string places;
      for (const Reading& reading : valid)
        places += (places.empty() ? "" : " or ") + shown_tower(reading.to);
      result_.problems.push_back(shown_tower(tower) + " could be " + places);
    } else if (valid.size() == 1) {
      chosen.push_back(std::move(valid.front()));
    } else {
      std::move(misfits.begin(), misfits.end(), std::back_inserter(failed));
    }
  }

  void refuse_two_of_one_place(const std::vector<Reading>& chosen) {
    std::map<std::string, std::string> owners;
    for (const Reading& reading : chosen) {
      const auto [at, is_new] = owners.emplace(reading.to, reading.from);
      if (!is_new)
        result_.problems.push_back(shown_tower(at->second) + " and " + shown_tower(reading.from) +
                                   " could both be " + shown_tower(reading.to));
      if (!reading.also_by_own_name.empty())
        result_.problems.push_back(printable(reading.also_by_own_name) +
                                   " is there under its own name, and as " + reading.shown());
    }
  }

  // Of a tower that fits nowhere; not where another one fits.
  void report_failed(const Reading& failed, const std::vector<Reading>& chosen) {
    const bool has_owner = std::any_of(chosen.begin(), chosen.end(), [&](const Reading& reading) {
      return reading.to == failed.to;
    });
    if (has_owner) return;
    const bool same_tower = failed.from == failed.to;
    result_.problems.push_back(same_tower ? failed.conflict
                                          : failed.shown() + ": " + failed.conflict);
  }

  void take(Reading reading) {
    if (reading.from != reading.to)
      result_.rules.push_back(reading.shown() + " (" + counted(reading.reached, "tensor") + ")");
    for (const auto& [rule, layers] : reading.fusions)
      result_.rules.push_back(rule + " (" + counted(layers.size(), "layer") + ")");
    std::move(reading.tensors.begin(), reading.tensors.end(), std::back_inserter(result_.tensors));
  }

  // Heads stand beside the decoder: `language_model.lm_head.weight`, `lm_head.weight`.
  void map_heads() {
    std::unordered_set<std::string> sources, taken;
    for (const NameMapping::Tensor& tensor : result_.tensors) {
      taken.insert(tensor.name);
      for (const NameMapping::Part& part : tensor.parts) sources.insert(part.name);
    }
    std::vector<const TensorInfo*> lost;
    for (const TensorInfo& head : all_from_) {
      if (find(to_, head.name) == nullptr && sources.count(head.name) == 0 &&
          site_of(head.name).block == Block::kHead)
        lost.push_back(&head);
    }
    if (lost.size() > 2 * kMostTowers) return;  // each would look at every tensor
    for (const TensorInfo* head : lost) map_head(*head, taken);
  }

  void map_head(const TensorInfo& head, std::unordered_set<std::string>& taken) {
    const auto last_two = [](std::string_view name) {
      const std::size_t dot = name.rfind('.');
      const std::size_t before = dot == 0 || dot == std::string_view::npos
                                     ? std::string_view::npos
                                     : name.rfind('.', dot - 1);
      return before == std::string_view::npos ? name : name.substr(before + 1);
    };
    std::vector<const TensorInfo*> found;
    for (const TensorInfo& tensor : all_to_) {
      if (last_two(tensor.name) == last_two(head.name) && find(from_, tensor.name) == nullptr &&
          site_of(tensor.name).block == Block::kHead && fits(head, tensor))
        found.push_back(&tensor);
    }
    if (found.empty()) return;
    if (found.size() > 1) {
      result_.problems.push_back(printable(head.name) + " could be " + printable(found[0]->name) +
                                 " or " + printable(found[1]->name));
    } else if (!taken.insert(found.front()->name).second) {
      result_.problems.push_back("two tensors would be " + printable(found.front()->name));
    } else {
      result_.tensors.push_back(renamed(head, found.front()->name));
      result_.rules.push_back(printable(head.name) + " -> " + printable(found.front()->name));
    }
  }

  // Queries, keys and values in one tensor, but not below one another.
  void refuse_other_layouts() {
    for (const auto& [module, layout] :
         {std::pair{".query_key_value.", "interleaved head by head"},
          std::pair{".c_attn.", "in columns, or in rows of another order"}}) {
      for (const auto& [own, others] : {std::pair{&all_from_, &to_}, std::pair{&all_to_, &from_}}) {
        const TensorInfo* fused = stranger_with(*own, module, *others);
        if (fused == nullptr) continue;
        const auto& split_side = own == &all_from_ ? all_to_ : all_from_;
        const auto& fused_side = own == &all_from_ ? from_ : to_;
        if (stranger_with(split_side, ".q_proj.", fused_side) == nullptr) continue;
        result_.problems.push_back(printable(fused->name) + " holds queries, keys and values " +
                                   layout + ": that is not mapped to q_proj, k_proj and v_proj");
      }
    }
  }

  static const TensorInfo* stranger_with(const std::vector<TensorInfo>& tensors,
                                         std::string_view module, const ByName& others) {
    const auto at = std::find_if(tensors.begin(), tensors.end(), [&](const TensorInfo& tensor) {
      return tensor.name.find(module) != std::string::npos && find(others, tensor.name) == nullptr;
    });
    return at == tensors.end() ? nullptr : &*at;
  }

  const ByName from_, to_;
  const std::vector<TensorInfo>& all_from_;
  const std::vector<TensorInfo>& all_to_;
  const Towers from_towers_, to_towers_;
  const Absent absent_;
  NameMapping result_;
};

}  // namespace

std::string NameMapping::to_string() const {
  std::string line;
  for (const std::string& rule : rules) line += (line.empty() ? "" : ", ") + rule;
  return line;
}

NameMapping mapping_between(const std::vector<TensorInfo>& from, const std::vector<TensorInfo>& to,
                            Absent absent) {
  return Mapper(from, to, absent).map();
}

NameMapping mapping_between(const std::vector<TensorInfo>& from,
                            const std::vector<TensorInfo>& to) {
  return mapping_between(from, to, Absent::kRefused);
}

NameMapping inverse_of(const NameMapping& mapping, const std::vector<TensorInfo>& now) {
  const ByName by_new_name = by_name(now);
  // Pieces of the old tensors by their first row, and where they are now.
  std::map<std::string, std::map<std::int64_t, NameMapping::Part>> pieces;
  for (const NameMapping::Tensor& tensor : mapping.tensors) {
    std::int64_t row = 0;
    for (const NameMapping::Part& part : tensor.parts) {
      pieces[part.name].emplace(part.first_row, NameMapping::Part{tensor.name, row, part.rows});
      row += part.rows;
    }
  }
  NameMapping inverse;
  for (const auto& [name, by_row] : pieces) {
    NameMapping::Tensor tensor{name, {}};
    for (const auto& [row, part] : by_row) tensor.parts.push_back(part);
    // Embeddings and heads may differ in rows.
    const TensorInfo* whole = find(by_new_name, tensor.parts.front().name);
    if (by_row.size() == 1 && whole != nullptr && has_token_rows(*whole))
      tensor.parts.front().rows = rows_of(*whole);
    inverse.tensors.push_back(std::move(tensor));
  }
  return inverse;
}

NameMapping mapping_between(const Checkpoint& from, const Checkpoint& to) {
  return mapping_between(from.tensors(), to.tensors());
}

}  // namespace suture
