#include "names/name_mapping.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"

#include "names/tensors_by_name.h"
#include "names/tower.h"
#include "names/tower_reading.h"

namespace suture {
namespace {

std::string counted(std::size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

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
    std::vector<TowerReading> chosen;
    std::vector<TowerReading> failed;
    for (const auto& [tower, tensors] : tensors_by_tower()) {
      const bool has_strangers = std::any_of(tensors.begin(), tensors.end(), [&](const auto* t) {
        return find(to_, t->name) == nullptr;
      });
      if (has_strangers) choose(tower, tensors, chosen, failed);
    }
    refuse_two_of_one_place(chosen);
    for (const TowerReading& reading : failed) report_failed(reading, chosen);
    for (TowerReading& reading : chosen) take(std::move(reading));
  }

  void choose(const std::string& tower, const std::vector<const TensorInfo*>& tensors,
              std::vector<TowerReading>& chosen, std::vector<TowerReading>& failed) {
    std::vector<TowerReading> valid, misfits;
    for (const std::string& place : to_towers_) {
      TowerReading reading = read_tower(from_, to_, tensors, tower, place, absent_);
      if (reading.is_valid()) {
        valid.push_back(std::move(reading));
      } else if (!reading.conflict.empty() && !reading.is_taken &&
                 reading.also_by_own_name.empty()) {
        misfits.push_back(std::move(reading));
      }
    }
    // A reading that leaves nothing over is the better one; two of a kind are one too many.
    const auto is_complete = [](const TowerReading& reading) { return reading.missing == 0; };
    if (std::any_of(valid.begin(), valid.end(), is_complete)) {
      valid.erase(std::remove_if(valid.begin(), valid.end(), std::not_fn(is_complete)),
                  valid.end());
    }
    if (valid.size() > 1) {
      std::string places;
      for (const TowerReading& reading : valid)
        places += (places.empty() ? "" : " or ") + shown_tower(reading.to);
      result_.problems.push_back(shown_tower(tower) + " could be " + places);
    } else if (valid.size() == 1) {
      chosen.push_back(std::move(valid.front()));
    } else {
      std::move(misfits.begin(), misfits.end(), std::back_inserter(failed));
    }
  }

  void refuse_two_of_one_place(const std::vector<TowerReading>& chosen) {
    std::map<std::string, std::string> owners;
    for (const TowerReading& reading : chosen) {
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
  void report_failed(const TowerReading& failed, const std::vector<TowerReading>& chosen) {
    const bool has_owner =
        std::any_of(chosen.begin(), chosen.end(),
                    [&](const TowerReading& reading) { return reading.to == failed.to; });
    if (has_owner) return;
    const bool same_tower = failed.from == failed.to;
    result_.problems.push_back(same_tower ? failed.conflict
                                          : failed.shown() + ": " + failed.conflict);
  }

  void take(TowerReading reading) {
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
                                         std::string_view module, const TensorsByName& others) {
    const auto at = std::find_if(tensors.begin(), tensors.end(), [&](const TensorInfo& tensor) {
      return tensor.name.find(module) != std::string::npos && find(others, tensor.name) == nullptr;
    });
    return at == tensors.end() ? nullptr : &*at;
  }

  const TensorsByName from_, to_;
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
  const TensorsByName by_new_name = by_name(now);
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
