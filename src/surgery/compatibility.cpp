#include "suture/compatibility.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"

#include "core/nearest_name.h"
#include "surgery/name_mapping.h"
#include "surgery/participant.h"
#include "surgery/sparse_source.h"

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

std::string list_some(const std::vector<std::string>& items) {
  constexpr std::size_t kMaxShown = 6;
  std::string line;
  for (std::size_t i = 0; i < std::min(items.size(), kMaxShown); ++i)
    line += (i > 0 ? ", " : "") + items[i];
  return items.size() > kMaxShown
             ? line + ", and " + std::to_string(items.size() - kMaxShown) + " more"
             : line;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, share < 0.1 ? "%.2f %%" : "%.0f %%", 100 * share);
  return text;
}

// Tensors of other shapes cannot be added, whatever the user is willing to accept.
bool may_allow(std::string_view topic) { return topic != "shapes" && topic != "vocabulary"; }

// Compares one participant with the reference, topic by topic.
class Comparison {
 public:
  Comparison(const Participant& reference, const Participant& other, const CheckOptions& options,
             Compatibility& result)
      : reference_(reference), other_(other), options_(options), result_(result) {}

  void run() {
    towers_ = common_towers(*reference_.tensors, *other_.tensors);
    report_names();
    compare_configs();
    compare_layers();
    compare_tensors();
    compare_tokenizers();
    compare_kinship();
    compare_tied_adapter();
  }

 private:
  void report(Severity severity, const char* topic, std::string found, std::string meaning,
              std::string remedy) {
    if (severity == Severity::kBlocker && may_allow(topic) && options_.allowed.count(topic) > 0) {
      severity = Severity::kWarning;
    }
    result_.findings.push_back(
        {severity, topic, std::move(found), std::move(meaning), std::move(remedy)});
  }

  std::string against(const std::string& mine, const std::string& theirs) const {
    return printable(mine) + " in " + reference_.name + ", " + printable(theirs) + " in " +
           other_.name;
  }

  void report_names();
  void compare_configs();
  void compare_tied();
  void compare_settings();
  void compare_layers();
  void compare_tensors();
  void compare_shape(const TensorInfo& mine, const TensorInfo& theirs);
  void report_tensors();
  void report_other_towers();
  void report_head(bool in_reference);
  void compare_tokenizers();
  void compare_token_ids();
  void compare_kinship();
  void compare_tied_adapter();
  std::string remedy_for_unknown_tensors() const;

  const Participant& reference_;
  const Participant& other_;
  const CheckOptions& options_;
  Compatibility& result_;
  std::set<std::string_view> towers_;  // that both have
  std::vector<std::string> only_reference_, only_other_, shapes_, vocabulary_, kinds_, dtypes_;
};

void Comparison::report_names() {
  for (const auto& [mapping, under] : {std::pair{&other_.own_mapping, std::string("its base")},
                                       {&other_.mapping, reference_.name}}) {
    if (mapping->empty()) continue;
    result_.names.push_back({other_.name, under, mapping->rules});
    report(Severity::kWarning, "names",
           other_.name + " is read under the names of " + under + ": " + mapping->to_string(),
           "each tensor is taken for the one that has its place there, by name and shape", "");
  }
  for (const std::string& problem : other_.mapping.problems) {
    report(Severity::kBlocker, "names", "in " + other_.name + ", " + problem,
           "its names are not those of " + reference_.name + ", and no reading of them is certain",
           "use models with the same names, or --allow names to leave them unmapped");
  }
}

void Comparison::compare_tied() {
  const bool tied = reference_.config.tied_embeddings;
  if (tied == other_.config.tied_embeddings) return;
  const auto word = [](bool is_tied) { return std::string(is_tied ? "tied" : "untied"); };
  const std::string found = "embeddings: " + against(word(tied), word(!tied));
  if (!tied && options_.head == HeadPolicy::kEmbedding) {
    return report(Severity::kWarning, "tied", found,
                  "the head of " + reference_.name + " gets the change of the embedding, too", "");
  }
  report(Severity::kBlocker, "tied", found,
         "the head is a copy of the embedding in one and a tensor of its own in the other",
         tied ? "use models that agree, or --allow tied to leave the head's part out"
              : "use models that agree, --head embedding to give the head the change of the "
                "embedding, too, or --allow tied to leave the head as it is");
}

void Comparison::compare_configs() {
  if (other_.adapter != nullptr && !other_.has_config) {
    const std::string& base = other_.adapter->trained_on;
    return report(Severity::kNote, "config",
                  other_.name + " is a LoRA adapter" +
                      (base.empty() ? std::string() : " of " + printable(base)),
                  "its tensors are compared by name and shape, and nothing else of its base",
                  "'ADAPTER - BASE' compares its base, too");
  }
  if (!reference_.has_config || !other_.has_config) {
    const Participant& silent = reference_.has_config ? other_ : reference_;
    report(Severity::kWarning, "config", "no config.json with " + silent.name,
           "its structure is guessed from tensor names; rope and norm settings are not compared",
           "name the model's folder instead of a single file");
    return;
  }
  if (reference_.config.architecture != other_.config.architecture) {
    report(Severity::kBlocker, "architecture",
           against(reference_.config.architecture, other_.config.architecture),
           "the same tensor name may mean something else", "use models of one architecture");
  }
  compare_settings();
  compare_tied();
}

void Comparison::compare_settings() {
  for (const auto& [name, value] : reference_.config.structure) {
    const auto at = other_.config.structure.find(name);
    if (at == other_.config.structure.end() || at->second == value) continue;
    report(Severity::kBlocker, "structure", name + ": " + against(value, at->second),
           "heads or widths do not line up", "use models of one size");
  }
  auto names = reference_.config.meaning;
  names.insert(other_.config.meaning.begin(), other_.config.meaning.end());
  for (const auto& [name, unused] : names) {
    const auto value_in = [&](const Participant& p) {
      const auto at = p.config.meaning.find(name);
      return at == p.config.meaning.end() ? std::string("nothing") : at->second;
    };
    const std::string mine = value_in(reference_), theirs = value_in(other_);
    if (mine == theirs) continue;
    const bool rope = name.rfind("rope", 0) == 0, norm = name.find("norm") != std::string::npos;
    const char* topic = rope ? "rope" : norm ? "norm" : "settings";
    report(Severity::kBlocker, topic, name + ": " + against(mine, theirs),
           rope ? "attention weights were trained for other positions"
                : "the same weights compute something else",
           std::string("use models that agree, or --allow ") + topic +
               " if you know that the difference is harmless");
  }
}

void Comparison::compare_layers() {
  const int mine = layer_count(*reference_.tensors, towers_),
            theirs = layer_count(*other_.tensors, towers_);
  // A vector on a selection of layers is no shorter model.
  if (mine == theirs || (other_.is_vector && theirs < mine)) return;
  report(Severity::kBlocker, "layers",
         against(std::to_string(mine), std::to_string(theirs)) + " layers",
         "layer 5 of one is not layer 5 of the other", "use models of one depth");
}

void Comparison::compare_tensors() {
  std::unordered_map<std::string_view, const TensorInfo*> theirs;
  for (const TensorInfo& tensor : *other_.tensors) theirs.emplace(tensor.name, &tensor);
  for (const TensorInfo& mine : *reference_.tensors) {
    const auto at = theirs.find(mine.name);
    if (at == theirs.end()) {
      only_reference_.push_back(mine.name);
      continue;
    }
    compare_shape(mine, *at->second);
    theirs.erase(at);
  }
  for (const TensorInfo& tensor : *other_.tensors) {
    if (theirs.count(tensor.name) > 0) only_other_.push_back(tensor.name);
  }
  report_tensors();
}

void Comparison::compare_shape(const TensorInfo& mine, const TensorInfo& theirs) {
  const std::string name = printable(mine.name);
  if (mine.shape != theirs.shape) {
    const Block block = site_of(mine.name).block;
    const bool rows_only =
        mine.shape.size() == 2 && theirs.shape.size() == 2 && mine.shape[1] == theirs.shape[1];
    const bool by_token = rows_only && (block == Block::kEmbedding || block == Block::kHead);
    (by_token ? vocabulary_ : shapes_)
        .push_back(name + ": " + against(to_string(mine.shape), to_string(theirs.shape)));
  }
  if (is_computable(mine.dtype) != is_computable(theirs.dtype)) {
    kinds_.push_back(name + ": " +
                     against(std::string(name_of(mine.dtype)), std::string(name_of(theirs.dtype))));
  } else if (mine.dtype != theirs.dtype && !other_.is_vector) {
    dtypes_.push_back(
        name + ": " +
        against(std::string(name_of(mine.dtype)), std::string(name_of(theirs.dtype))));
  }
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

// A vision encoder beside the decoder is no part of a text model's difference.
void Comparison::report_other_towers() {
  std::set<std::string_view> towers;
  for (const TensorInfo& tensor : *reference_.tensors)
    if (const auto tower = tower_of(tensor.name)) towers.insert(*tower);
  const auto is_elsewhere = [&](const std::string& name) {
    if (const auto tower = tower_of(name)) return towers_.count(*tower) == 0;
    std::string_view longest;
    bool has_tower = false;
    for (const std::string_view tower : towers) {
      if (name.compare(0, tower.size(), tower) != 0 || tower.size() < longest.size()) continue;
      longest = tower;
      has_tower = true;
    }
    return site_of(name).block != Block::kHead && (!has_tower || towers_.count(longest) == 0);
  };
  if (towers_.empty() || towers.size() == towers_.size()) return;
  const auto at = std::stable_partition(only_reference_.begin(), only_reference_.end(),
                                        [&](const auto& name) { return !is_elsewhere(name); });
  const std::vector<std::string> others(at, only_reference_.end());
  only_reference_.erase(at, only_reference_.end());
  if (others.empty() || other_.is_vector) return;
  report(Severity::kNote, "tensors",
         std::to_string(others.size()) + " tensors of " + reference_.name +
             " are outside of what it shares with " + other_.name + ", such as " +
             printable(others.front()),
         "they stay as they are", "");
}

void Comparison::report_tensors() {
  report_other_towers();
  if (reference_.config.tied_embeddings || other_.config.tied_embeddings) {
    if (take_head(only_reference_)) report_head(true);
    if (take_head(only_other_)) report_head(false);
  }
  for (auto* names : {&only_reference_, &only_other_})
    std::transform(names->begin(), names->end(), names->begin(), printable);
  if (!only_other_.empty()) {
    report(Severity::kBlocker, "tensors", "only in " + other_.name + ": " + list_some(only_other_),
           "nothing in " + reference_.name + " corresponds to them", remedy_for_unknown_tensors());
  }
  if (!only_reference_.empty() && !other_.is_vector) {
    report(Severity::kBlocker, "tensors",
           "only in " + reference_.name + ": " + list_some(only_reference_),
           "nothing in " + other_.name + " corresponds to them",
           "use models of one architecture, or --allow tensors to leave them out");
  }
  if (!shapes_.empty()) {
    report(Severity::kBlocker, "shapes", list_some(shapes_), "they cannot be added",
           "use models of one size");
  }
  if (!vocabulary_.empty()) {
    const bool common = options_.vocabulary == VocabularyPolicy::kCommon;
    report(common ? Severity::kNote : Severity::kBlocker, "vocabulary", list_some(vocabulary_),
           common ? "rows are matched by token text" : "rows of one are not rows of the other",
           common ? "" : "--vocab common matches rows by token text and keeps the target's others");
  }
  if (!kinds_.empty()) {
    report(Severity::kBlocker, "dtypes", list_some(kinds_),
           "one of them is no number to compute with", "use unquantised models");
  }
  if (!dtypes_.empty()) {
    report(Severity::kNote, "dtypes",
           std::to_string(dtypes_.size()) + " tensors differ, such as " + dtypes_.front(),
           "each is read as it is stored; sums are taken in float32", "");
  }
}

// Names of an adapter are often those of a wrapped model.
std::string Comparison::remedy_for_unknown_tensors() const {
  const std::string usual = "use models of one architecture, or --allow tensors to leave them out";
  if (other_.adapter == nullptr) return usual;
  std::vector<std::string> names;
  for (const TensorInfo& tensor : *reference_.tensors) names.push_back(tensor.name);
  const std::string near = did_you_mean(only_other_.front(), std::move(names));
  return near.empty() ? usual : near + " Or " + usual;
}

// PEFT adds to one of two tied tensors, and so to both, where it adds factors or loads a tensor in
// its place; a module that it saves replaces one of them alone.
void Comparison::compare_tied_adapter() {
  if (other_.adapter == nullptr || !reference_.config.tied_embeddings) return;
  const auto& whole = other_.adapter->whole;
  for (const TensorInfo& tensor : *other_.tensors) {
    const Block block = site_of(tensor.name).block;
    if (block != Block::kEmbedding && block != Block::kHead) continue;
    const bool is_whole = std::any_of(whole.begin(), whole.end(), [&](const std::string& name) {
      return site_of(name).block == block;  // its own name: the tensor may have been renamed
    });
    const std::string changes = other_.name + " changes " + printable(tensor.name);
    if (block == Block::kHead && !other_.adapter->keeps_tied) {
      report(Severity::kBlocker, "tied", changes + ", which " + reference_.name + " ties",
             "the head would leave the embedding behind",
             "untie the target first, or --allow tied to leave the head's part out");
    } else if (is_whole && other_.adapter->replaces_embedding && !other_.adapter->keeps_tied) {
      report(Severity::kBlocker, "tied",
             changes + " alone, which " + reference_.name + " ties to its head",
             "the head was not trained with it",
             "untie the target first, or --allow tied to change both");
    } else if (block == Block::kEmbedding) {
      report(Severity::kWarning, "tied",
             changes + ", which is the head of " + reference_.name + ", too",
             "both change, as they do when PEFT merges it", "");
    }
  }
}

void Comparison::report_head(bool in_reference) {
  const Participant& owner = in_reference ? reference_ : other_;
  report(Severity::kNote, "tied", "only " + owner.name + " stores the head tensor",
         "a tied head follows the embedding; the stored copy is handled with it", "");
}

void Comparison::compare_tokenizers() {
  if (other_.adapter != nullptr && other_.tokenizer_digest.empty()) return;
  if (reference_.tokenizer_digest.empty() || other_.tokenizer_digest.empty()) {
    const Participant& silent = reference_.tokenizer_digest.empty() ? reference_ : other_;
    report(Severity::kWarning, "tokenizer", "no tokenizer known of " + silent.name,
           "whether both mean the same token by the same row is not checked",
           "name the model's folder, with its tokenizer files");
    return;
  }
  if (reference_.tokenizer_digest == other_.tokenizer_digest) return;
  const bool listed = reference_.tokenizer && other_.tokenizer &&
                      !reference_.tokenizer->ids.empty() && !other_.tokenizer->ids.empty();
  if (listed) return compare_token_ids();
  report(Severity::kBlocker, "tokenizer",
         "the tokenizers of " + reference_.name + " and " + other_.name + " differ",
         "the same row may stand for another token",
         "use models with one tokenizer, or --allow tokenizer");
}

void Comparison::compare_token_ids() {
  const auto& mine = reference_.tokenizer->ids;
  const auto& theirs = other_.tokenizer->ids;
  std::size_t moved = 0, extra = 0;
  std::string example;
  for (const auto& [text, id] : mine) {
    const auto at = theirs.find(text);
    if (at == theirs.end()) {
      ++extra;
    } else if (at->second != id && moved++ == 0) {
      example =
          "'" + printable(text) + "' is " + against(std::to_string(id), std::to_string(at->second));
    }
  }
  extra += theirs.size() - (mine.size() - extra);
  if (moved > 0) {
    const bool common = options_.vocabulary == VocabularyPolicy::kCommon;
    report(common ? Severity::kNote : Severity::kBlocker, "tokenizer",
           std::to_string(moved) + " tokens have other ids, such as " + example,
           common ? "rows are matched by token text" : "the same row stands for another token",
           common ? "" : "--vocab common matches rows by token text");
  }
  if (extra > 0) {
    report(Severity::kWarning, "tokenizer",
           std::to_string(extra) + " tokens are known to only one of " + reference_.name + " and " +
               other_.name,
           "their rows were trained in one model only",
           "--vocab common keeps the target's rows for them");
  }
  if (moved == 0 && !(reference_.tokenizer->rules == other_.tokenizer->rules)) {
    report(Severity::kWarning, "tokenizer", "the same tokens, but other merges or text rules",
           "one text may be cut into other tokens", "score the result with the target's tokenizer");
  }
}

void Comparison::compare_kinship() {
  if (reference_.sample.empty() || other_.sample.empty()) return;
  const Kinship kinship = kinship_of(
      other_.sample, other_.reference_sample.empty() ? reference_.sample : other_.reference_sample);
  if (kinship.compared == 0) return;
  if (!std::isfinite(kinship.relative_distance)) {
    return report(Severity::kWarning, "kinship",
                  "every sampled weight of " + reference_.name + " is zero",
                  "nothing shows whether " + other_.name + " comes from the same start", "");
  }
  result_.kinship.push_back(
      {other_.name, reference_.name, kinship.relative_distance, kinship.cosine});
  const std::string distance = other_.name + " is " + percent(kinship.relative_distance) +
                               " of its norm away from " + reference_.name;
  if (kinship.relative_distance >= kStrangerDistance) {
    report(Severity::kBlocker, "kinship", distance,
           "these look like two trainings from different starts: a difference between them is no "
           "skill, and does not transfer",
           "use models fine-tuned from one start, or --allow kinship");
  } else if (kinship.relative_distance == 0 && !other_.is_vector) {
    report(Severity::kNote, "kinship",
           "no difference found between " + other_.name + " and " + reference_.name + " in " +
               std::to_string(kinship.compared) + " sampled weights",
           "they may be the same model, and their difference zero", "");
  }
}

void report_quantised(const Participant& participant, const CheckOptions& options,
                      Compatibility& result) {
  std::vector<std::string> low;
  for (const TensorInfo& tensor : *participant.tensors) {
    if (is_low_precision_float(tensor.dtype)) low.push_back(printable(tensor.name));
  }
  const bool allowed = options.allowed.count("quantisation") > 0;
  if (!participant.config.quantization.empty()) {
    result.findings.push_back(
        {allowed ? Severity::kWarning : Severity::kBlocker, "quantisation",
         participant.name + " is quantised (" + printable(participant.config.quantization) + ")",
         "its integers and 8-bit floats are codes, not weights: they are carried, never computed "
         "on",
         "use the unquantised model, or --allow quantisation to edit only what is not quantised"});
  } else if (!low.empty()) {
    result.findings.push_back({Severity::kWarning, "quantisation",
                               participant.name + " has 8-bit floats or smaller: " + list_some(low),
                               "they are carried as they are, never computed on", ""});
  }
}

Compatibility compare_all(const std::vector<Participant>& participants,
                          const CheckOptions& options) {
  Compatibility result;
  for (const Participant& participant : participants)
    report_quantised(participant, options, result);
  for (std::size_t i = 1; i < participants.size(); ++i) {
    Comparison(participants.front(), participants[i], options, result).run();
  }
  std::stable_sort(result.findings.begin(), result.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  return result;
}

// Kinship among the others, for the report; the comparison with the first has been made.
void add_kinship_among_others(const std::vector<Participant>& participants, Compatibility& result) {
  for (std::size_t i = 1; i < participants.size(); ++i) {
    for (std::size_t j = i + 1; j < participants.size(); ++j) {
      const Kinship kinship = kinship_of(participants[j].sample, participants[i].sample);
      if (kinship.compared == 0 || !std::isfinite(kinship.relative_distance)) continue;
      result.kinship.push_back(
          {participants[j].name, participants[i].name, kinship.relative_distance, kinship.cosine});
    }
  }
}

std::string list_blockers(const Compatibility& compatibility) {
  std::string line;
  for (const Finding& finding : compatibility.findings) {
    if (finding.severity != Severity::kBlocker) continue;
    line += (line.empty() ? "" : " | ") + finding.topic + ": " + finding.found + " (" +
            finding.meaning + "; " + finding.remedy + ")";
  }
  return line;
}

}  // namespace

bool Compatibility::fit() const {
  return std::none_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.severity == Severity::kBlocker;
  });
}

const std::vector<std::string>& compatibility_topics() {
  static const std::vector<std::string> topics{
      "architecture", "config",       "dtypes",    "kinship",   "layers", "names",
      "norm",         "quantisation", "rope",      "settings",  "shapes", "structure",
      "tensors",      "tied",         "tokenizer", "vocabulary"};
  return topics;
}

Compatibility check(const std::vector<Checkpoint>& models, const CheckOptions& options) {
  if (models.size() < 2)
    throw UsageError({{}, {}, "fewer than two models", "two or more to compare", {}});
  std::vector<SourcePtr> sources;
  std::vector<Participant> participants;
  TokenizerReader tokenizers;
  for (const Checkpoint& model : models) {
    sources.push_back(open_source(model));
    participants.push_back(participant_of(sources.back(), tokenizers));
    if (participants.size() > 1)
      read_names(participants.back(), *sources.back(), participants.front(), options);
  }
  Compatibility result = compare_all(participants, options);
  add_kinship_among_others(participants, result);
  return result;
}

Compatibility check(const Checkpoint& target, const TaskVector& vector,
                    const CheckOptions& options) {
  const SourcePtr target_source = make_source(target);
  TokenizerReader tokenizers;
  std::vector<Participant> participants{participant_of(target_source, tokenizers)};
  for (const SourcePtr& source : sources_of(vector.form())) {
    participants.push_back(participant_of(source, vector.form(), tokenizers));
    read_names(participants.back(), reader_of(source, vector.form()), participants.front(),
               options);
  }
  return compare_all(participants, options);
}

void require_fit(const Compatibility& compatibility) {
  if (!compatibility.fit()) throw IncompatibleModels(compatibility);
}

IncompatibleModels::IncompatibleModels(Compatibility compatibility)
    : CompatibilityError({{}, {}, list_blockers(compatibility), {}, {}}),
      compatibility_(std::move(compatibility)) {}

}  // namespace suture
