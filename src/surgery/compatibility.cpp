#include "suture/compatibility.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "suture/error.h"

#include "names/mapped_source.h"
#include "surgery/compare_configs.h"
#include "surgery/compare_kinship.h"
#include "surgery/compare_names.h"
#include "surgery/compare_tensors.h"
#include "surgery/compare_tokenizers.h"
#include "surgery/sparse_source.h"

namespace suture {
namespace {

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

// Two files of one name in two folders are told by their paths.
void tell_apart(std::vector<Participant>& participants) {
  std::map<std::string, int> uses;
  for (const Participant& participant : participants) ++uses[participant.name];
  for (Participant& participant : participants) {
    const Checkpoint* checkpoint = participant.asked->checkpoint();
    if (uses.at(participant.name) > 1 && checkpoint != nullptr)
      participant.name = printable(checkpoint->location());
  }
}

void compare(Comparison comparison) {
  compare_names(comparison);
  compare_configs(comparison);
  compare_tensors(comparison);
  compare_tokenizers(comparison);
  compare_kinship(comparison);
}

// The most serious first.
void sort_findings(Compatibility& result) {
  std::stable_sort(result.findings.begin(), result.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
}

Compatibility compare_all(std::vector<Participant>& participants, const CheckOptions& options) {
  Compatibility result;
  tell_apart(participants);
  for (const Participant& participant : participants)
    report_quantised(participant, options, result);
  for (std::size_t i = 1; i < participants.size(); ++i)
    compare({participants.front(), participants[i], options, result});
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

const Participant& participant_for(const SourcePtr& source,
                                   const std::vector<Participant>& participants) {
  return *std::find_if(participants.begin(), participants.end(),
                       [&](const Participant& p) { return p.asked == source; });
}

// The models of each term that were read under one another's names.
void compare_terms(const TaskVector::Form& form, const std::vector<Participant>& participants,
                   const CheckOptions& options, Compatibility& result) {
  std::set<std::pair<SourcePtr, SourcePtr>> compared;
  for (const Term& term : form.terms) {
    const NameMapping* names = term.subtrahend ? mapping_of(*term.minuend) : nullptr;
    if (names == nullptr || !compared.emplace(term.minuend, term.subtrahend).second) continue;
    Comparison comparison{participant_for(term.subtrahend, participants),
                          participant_for(term.minuend, participants), options, result};
    // The vector has the names of its base.
    compare_parts(comparison, sample_weights(*term.minuend), sample_weights(*term.subtrahend),
                  *names, OwnNames::kNew);
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

void Compatibility::add(Finding finding) {
  const bool is_known = std::any_of(findings.begin(), findings.end(), [&](const Finding& known) {
    return known.topic == finding.topic && known.found == finding.found &&
           known.severity == finding.severity;
  });
  if (!is_known) findings.push_back(std::move(finding));
}

void Compatibility::append(Compatibility more) {
  for (Finding& finding : more.findings) add(std::move(finding));
  for (KinshipPair& pair : more.kinship) {
    const bool is_known = std::any_of(kinship.begin(), kinship.end(), [&](const auto& known) {
      return known.first == pair.first && known.second == pair.second &&
             known.relative_distance == pair.relative_distance;
    });
    if (!is_known) kinship.push_back(std::move(pair));
  }
  std::move(more.names.begin(), more.names.end(), std::back_inserter(names));
  sort_findings(*this);
}

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
  sort_findings(result);
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
  Compatibility result = compare_all(participants, options);
  compare_terms(vector.form(), participants, options, result);
  sort_findings(result);
  return result;
}

void require_fit(const Compatibility& compatibility) {
  if (!compatibility.fit()) throw IncompatibleModels(compatibility);
}

IncompatibleModels::IncompatibleModels(Compatibility compatibility)
    : CompatibilityError({{}, {}, list_blockers(compatibility), {}, {}}),
      compatibility_(std::move(compatibility)) {}

}  // namespace suture
