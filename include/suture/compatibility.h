#pragma once

#include <set>
#include <string>
#include <vector>

#include "suture/checkpoint.h"
#include "suture/error.h"
#include "suture/task_vector.h"

namespace suture {

/// How much a difference matters.
enum class Severity {
  kNote,     ///< Harmless; said for the record.
  kWarning,  ///< The work goes on, but the result may surprise.
  kBlocker,  ///< The work is refused unless its topic is allowed.
};

/// One difference between models, told so that a reader can decide.
struct Finding {
  Severity severity = Severity::kNote;
  std::string topic;    ///< `architecture`, `tokenizer`, `kinship`, ...: what `--allow` takes.
  std::string found;    ///< The difference itself, with the models' names and values.
  std::string meaning;  ///< What it would do to the result.
  std::string remedy;   ///< What to do about it.
};

/// How far two models are from each other, measured on a sample of their matrices.
struct KinshipPair {
  std::string first, second;
  double relative_distance = 0;  ///< |first - second| / |second|.
  double cosine = 0;
};

/// How the names of one model were read as those of another.
struct NamesRead {
  std::string model, under;        ///< Whose names, and those of which model they were read as.
  std::vector<std::string> rules;  ///< As in NameMapping.
};

/// Every difference between models that matters for surgery, all at once.
struct Compatibility {
  std::vector<Finding> findings;  ///< Blockers first.
  std::vector<KinshipPair> kinship;
  std::vector<NamesRead> names;  ///< Empty where all names agree.

  /// True when nothing stands in the way.
  bool fit() const;

  /// Adds what is not known yet: what is so of one model by itself is found beside each other one.
  void add(Finding finding);
  /// Adds what another check found, and brings blockers to the front again.
  void append(Compatibility more);
};

/// What to do about vocabularies of different size or order.
enum class VocabularyPolicy {
  kSame,    ///< They must be the same.
  kCommon,  ///< Rows are matched by token text; others are kept as they are in the target.
};

/// What becomes of the head of a target that is no copy of its embedding, with donors whose head
/// is.
enum class HeadPolicy {
  kSame,       ///< They must agree, unless `tied` is allowed: the head then stays as it is.
  kEmbedding,  ///< The head gets the change of the donors' embedding, too.
};

/// What the user accepts.
struct CheckOptions {
  std::set<std::string> allowed;  ///< Topics whose blockers become warnings; not `shapes`.
  VocabularyPolicy vocabulary = VocabularyPolicy::kSame;
  HeadPolicy head = HeadPolicy::kSame;
};

/// The topics that findings may have.
const std::vector<std::string>& compatibility_topics();

/// Compares every model with the first: architecture, layers, names, shapes, dtypes, tied
/// embeddings, vocabulary, tokenizer by content, rope and norm settings, quantisation, and kinship.
/// Reads headers, configs, tokenizers and some thousand weights. Needs at least two models.
Compatibility check(const std::vector<Checkpoint>& models, const CheckOptions& options = {});

/// The same between a target and the donors of a vector, or what a stored vector knows of them.
Compatibility check(const Checkpoint& target, const TaskVector& vector,
                    const CheckOptions& options = {});

/// The vector as it is added to the target: under the target's names where one reading of its own
/// is clear (suture/name_mapping.h), with the head that `options.head` asks for; `check` reports
/// both. A vector that has those names already comes back as it is. What `inject` does by itself;
/// before an ablation or an Explorer it is the caller's to do.
TaskVector under_names_of(const Checkpoint& target, const TaskVector& vector,
                          const CheckOptions& options = {});

/// Thrown by surgery on models that are not fit for it, with the whole report.
class IncompatibleModels : public CompatibilityError {
 public:
  /// `what()` becomes one line that names every blocker.
  explicit IncompatibleModels(Compatibility compatibility);
  /// The whole report: all findings, blockers first. Lives as long as the exception.
  const Compatibility& compatibility() const { return compatibility_; }

 private:
  Compatibility compatibility_;
};

/// Throws IncompatibleModels when something stands in the way; `what()` names every blocker.
void require_fit(const Compatibility& compatibility);

}  // namespace suture
