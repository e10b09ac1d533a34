#include "surgery/compare_tensors.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "suture/error.h"
#include "suture/site.h"

#include "core/nearest_name.h"
#include "names/tower.h"

namespace suture {
namespace {

int layer_count(const std::vector<TensorInfo>& tensors, const std::set<std::string_view>& towers) {
  int count = 0;
  for (const TensorInfo& tensor : tensors) {
    const auto tower = tower_of(tensor.name);
    if (towers.empty() || (tower && towers.count(*tower) > 0))
      count = std::max(count, site_of(tensor.name).layer.value_or(-1) + 1);
  }
  return count;
}

// Takes a head tensor out of a list of names; true when it was there.
bool take_head(std::vector<std::string>& names) {
  const auto at = std::find_if(names.begin(), names.end(), [](const std::string& name) {
    return site_of(name).block == Block::kHead;
  });
  if (at == names.end()) return false;
  names.erase(at);
  return true;
}

class TensorComparison {
 public:
  explicit TensorComparison(Comparison& comparison)
      : c_(comparison),
        towers_(common_towers(*comparison.reference.tensors, *comparison.other.tensors)) {}

  void run() {
    compare_layers();
    compare_tensors();
    report_tensors();
  }

 private:
  int layers_of_other() const;
  void compare_layers();
  void compare_tensors();
  void compare_shape(const TensorInfo& mine, const TensorInfo& theirs);
  void report_tensors();
  void report_other_towers();
  void report_head(bool in_reference);
  std::string remedy_for_unknown_tensors() const;

  Comparison& c_;
  const std::set<std::string_view> towers_;  // that both have
  std::vector<std::string> only_reference_, only_other_, shapes_, vocabulary_, kinds_, dtypes_;
};

// Of the towers that both have, as the other has them itself.
int TensorComparison::layers_of_other() const {
  if (c_.other.mapping.empty()) return layer_count(*c_.other.tensors, towers_);
  std::set<std::string_view> own = common_towers(*c_.reference.tensors, c_.other.asked->tensors());
  for (const NameMapping::Tensor& tensor : c_.other.mapping.tensors)
    for (const NameMapping::Part& part : tensor.parts)
      if (const auto tower = tower_of(part.name)) own.insert(*tower);
  return layer_count(c_.other.asked->tensors(), own);
}

void TensorComparison::compare_layers() {
  const int mine = layer_count(*c_.reference.tensors, towers_), theirs = layers_of_other();
  // A vector on a selection of layers is no shorter model.
  if (mine == theirs || (c_.other.is_vector && theirs < mine)) return;
  c_.report(Severity::kBlocker, "layers",
            c_.against(std::to_string(mine) + " layers", std::to_string(theirs) + " layers"),
            "layers of one number are not the same layer", "use models of one depth");
}

void TensorComparison::compare_tensors() {
  std::unordered_map<std::string_view, const TensorInfo*> theirs;
  for (const TensorInfo& tensor : *c_.other.tensors) theirs.emplace(tensor.name, &tensor);
  for (const TensorInfo& mine : *c_.reference.tensors) {
    const auto at = theirs.find(mine.name);
    if (at == theirs.end()) {
      only_reference_.push_back(mine.name);
      continue;
    }
    compare_shape(mine, *at->second);
    theirs.erase(at);
  }
  for (const TensorInfo& tensor : *c_.other.tensors) {
    if (theirs.count(tensor.name) > 0) only_other_.push_back(tensor.name);
  }
}

void TensorComparison::compare_shape(const TensorInfo& mine, const TensorInfo& theirs) {
  const std::string name = printable(mine.name);
  if (mine.shape != theirs.shape) {
    const Block block = site_of(mine.name).block;
    const bool rows_only =
        mine.shape.size() == 2 && theirs.shape.size() == 2 && mine.shape[1] == theirs.shape[1];
    const bool by_token = rows_only && (block == Block::kEmbedding || block == Block::kHead);
    (by_token ? vocabulary_ : shapes_)
        .push_back(name + ": " + c_.against(to_string(mine.shape), to_string(theirs.shape)));
  }
  if (is_computable(mine.dtype) != is_computable(theirs.dtype)) {
    kinds_.push_back(
        name + ": " +
        c_.against(std::string(name_of(mine.dtype)), std::string(name_of(theirs.dtype))));
  } else if (mine.dtype != theirs.dtype && !c_.other.is_vector) {
    dtypes_.push_back(
        name + ": " +
        c_.against(std::string(name_of(mine.dtype)), std::string(name_of(theirs.dtype))));
  }
}

// A vision encoder beside the decoder is no part of a text model's difference.
void TensorComparison::report_other_towers() {
  const Towers towers = towers_of(*c_.reference.tensors);
  const auto is_elsewhere = [&](const std::string& name) {
    const auto tower = tower_around(name, towers);
    if (tower && towers_.count(*tower) > 0) return false;
    return tower_of(name).has_value() || site_of(name).block != Block::kHead;
  };
  if (towers_.empty() || towers.size() == towers_.size()) return;
  const auto at = std::stable_partition(only_reference_.begin(), only_reference_.end(),
                                        [&](const auto& name) { return !is_elsewhere(name); });
  const std::vector<std::string> others(at, only_reference_.end());
  only_reference_.erase(at, only_reference_.end());
  if (others.empty() || c_.other.is_vector) return;
  c_.report(Severity::kNote, "tensors",
            std::to_string(others.size()) + " tensors of " + c_.reference.name +
                " are outside of what it shares with " + c_.other.name + ", such as " +
                printable(others.front()),
            "they stay as they are", "");
}

void TensorComparison::report_tensors() {
  report_other_towers();
  if (c_.reference.config.tied_embeddings || c_.other.config.tied_embeddings) {
    if (take_head(only_reference_)) report_head(true);
    // What an adapter has for a head is no copy: that is left to compare_configs.
    if (take_head(only_other_) && c_.other.adapter == nullptr) report_head(false);
  }
  for (auto* names : {&only_reference_, &only_other_})
    std::transform(names->begin(), names->end(), names->begin(), printable);
  if (!only_other_.empty()) {
    c_.report(
        Severity::kBlocker, "tensors", "only in " + c_.other.name + ": " + list_some(only_other_),
        "nothing in " + c_.reference.name + " corresponds to them", remedy_for_unknown_tensors());
  }
  if (!only_reference_.empty() && !c_.other.is_vector) {
    c_.report(Severity::kBlocker, "tensors",
              "only in " + c_.reference.name + ": " + list_some(only_reference_),
              "nothing in " + c_.other.name + " corresponds to them",
              "use models of one architecture, or --allow tensors to leave them out");
  }
  if (!shapes_.empty()) {
    c_.report(Severity::kBlocker, "shapes", list_some(shapes_), "they cannot be added",
              "use models of one size");
  }
  if (!vocabulary_.empty()) {
    const bool common = c_.options.vocabulary == VocabularyPolicy::kCommon;
    c_.report(
        common ? Severity::kNote : Severity::kBlocker, "vocabulary", list_some(vocabulary_),
        common ? "rows are matched by token text" : "rows of one are not rows of the other",
        common ? "" : "--vocab common matches rows by token text and keeps the target's others");
  }
  if (!kinds_.empty()) {
    c_.report(Severity::kBlocker, "dtypes", list_some(kinds_),
              "one of them is no number to compute with", "use unquantised models");
  }
  if (!dtypes_.empty()) {
    c_.report(Severity::kNote, "dtypes",
              std::to_string(dtypes_.size()) + " tensors differ, such as " + dtypes_.front(),
              "each is read as it is stored; sums are taken in float32", "");
  }
}

// Names of an adapter are often those of a wrapped model.
std::string TensorComparison::remedy_for_unknown_tensors() const {
  const std::string usual = "use models of one architecture, or --allow tensors to leave them out";
  if (c_.other.adapter == nullptr) return usual;
  std::vector<std::string> names;
  for (const TensorInfo& tensor : *c_.reference.tensors) names.push_back(tensor.name);
  const std::string near = did_you_mean(only_other_.front(), std::move(names));
  return near.empty() ? usual : near + " Or " + usual;
}

void TensorComparison::report_head(bool in_reference) {
  const Participant& owner = in_reference ? c_.reference : c_.other;
  c_.report(Severity::kNote, "tied", "only " + owner.name + " stores the head tensor",
            "a tied head follows the embedding; the stored copy is handled with it", "");
}

}  // namespace

void compare_tensors(Comparison& comparison) { TensorComparison(comparison).run(); }

}  // namespace suture
