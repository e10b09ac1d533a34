#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "suture/checkpoint.h"
#include "suture/compatibility.h"
#include "suture/evaluation.h"
#include "suture/language_model.h"
#include "suture/model_edit.h"
#include "suture/realised_change.h"
#include "suture/run_options.h"
#include "suture/task.h"
#include "suture/task_vector.h"
#include "suture/tokenizer.h"

namespace suture {

/// The score of an edited model, and its difference from the target alone on the same records.
struct EditScore {
  std::string task, metric, filter;
  bool is_share = false;  ///< Every record is right (1) or wrong (0).
  bool higher_is_better = true;
  double value = 0, reference_value = 0;
  double difference = 0;            ///< Mean over the records of edit less target.
  std::optional<double> low, high;  ///< 95 % interval of it, paired by record.
  std::size_t records = 0;
};

/// One prompt answered greedily, with and without the edit.
struct EditSample {
  std::string prompt, answer, reference_answer;
};

/// What came of an edit.
struct EditOutcome {
  RealisedChanges realised;          ///< What rounding left of it.
  std::optional<EditScore> score;    ///< With a task.
  std::optional<EditSample> sample;  ///< With a prompt.
};

/// What is looked at after every edit.
struct ExplorerOptions {
  std::optional<Task> task;
  EvaluationOptions evaluation;  ///< How the task is put to the model; `limit` bounds the time.
  std::string prompt;            ///< Answered as a sample; by default the task's first prompt.
  std::int64_t sample_tokens = 64;
  VocabularyPolicy vocabulary = VocabularyPolicy::kSame;
  RunOptions run;  ///< `cancel` interrupts the constructor, which scores the target alone.
  /// Interrupts an edit; the next one is not affected by what it left. Null: as `run.cancel`.
  const std::atomic<bool>* edit_cancel = nullptr;
};

/// A model that is edited by hand: every edit makes it hold the bytes that `inject` would write,
/// whatever the edit before was and whether it came to its end. Weights are changed in place, and
/// given back to the bit at the end. Not synchronised.
class Explorer {
 public:
  /// `model` must hold the weights of `target`; both and the tokenizer must outlive the explorer.
  /// Scores and answers with the target alone first. Models and vectors are taken to be compatible:
  /// see `check`. Throws what `evaluate` throws.
  Explorer(const Checkpoint& target, LanguageModel& model, const Tokenizer& tokenizer,
           std::vector<TaskVector> vectors, ExplorerOptions options);

  /// Gives the weights back, as `restore` does; errors are not told.
  ~Explorer();

  Explorer(const Explorer&) = delete;
  Explorer& operator=(const Explorer&) = delete;

  /// Throws UsageError for scales that are not finite or not one for each vector, for a selection
  /// of what no vector has, and for a prompt that does not fit the model; IoError when a source has
  /// changed on disk; Interrupted.
  EditOutcome apply(const ModelEdit& edit);

  /// Gives the weights the target's bytes back, also when the run has been cancelled. Throws
  /// IoError.
  void restore();

  /// The vector of an edit.
  TaskVector vector_of(const ModelEdit& edit) const;

  /// What the target alone scores, as an outcome without a change.
  const EditOutcome& reference() const;

 private:
  // Not told here, so that this header stays free of the engine.
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace suture
