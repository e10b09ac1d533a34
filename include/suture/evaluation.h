#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "suture/causal_model.h"
#include "suture/chat_template.h"
#include "suture/task.h"
#include "suture/tokenizer.h"

namespace suture {

/// How a task is put to a model.
struct EvaluationOptions {
  std::optional<std::size_t> limit;  ///< Only the first so many records; at least 1.
  bool add_bos = false;  ///< Encode prompts with what the tokenizer's post-processor adds.
  std::optional<std::int64_t> max_new_tokens;  ///< Instead of the task's.
  bool score_targets = false;        ///< For generation: also how likely the target itself is.
  std::optional<ChatTemplate> chat;  ///< Puts prompts into a conversation's form; not for texts.
  std::string system_instruction;    ///< With `chat`: stands in its system message.
  TokenIds end_tokens;               ///< End a generation, besides the tokenizer's EOS.
  ModelRun run;
};

/// A score over all records.
struct MetricResult {
  std::string name;    ///< `acc`, `exact_match`, `word_perplexity`, ...
  std::string filter;  ///< `none`, or the answer filter it belongs to.
  double value = 0;
  std::optional<double> standard_error;  ///< Absent for fewer than two records.
  std::optional<double> low, high;       ///< 95 % interval; absent where there is no error.
  std::string interval;                  ///< How: `wilson`, `normal`, `delta`.
  bool higher_is_better = true;
};

/// One metric of one record, for pairing with another run's.
struct RecordMetric {
  std::string name, filter;
  double value = 0;
};

/// What a model made of one record. Logarithms are natural.
struct RecordResult {
  std::size_t index = 0;  ///< In Task::records().
  std::string prompt;     ///< As fed: preamble and the record's own.

  std::vector<double> log_probabilities;  ///< Choice: of each continuation. Text: of the text.
  std::vector<bool> greedy;               ///< Whether greedy decoding would have written it.

  std::string completion;            ///< Generation, cut at the stop texts.
  std::vector<std::string> answers;  ///< Generation: one for each filter.
  std::size_t generated_tokens = 0;
  bool ran_into_limit = false;  ///< Generation ended by length.

  std::optional<double> target_log_probability;  ///< Of the gold continuation, or of the target.
  std::optional<double> margin;                  ///< Choice: gold less the best of the others.
  std::size_t scored_tokens = 0;                 ///< Tokens of the text, or of the target.
  std::size_t truncated_tokens = 0;              ///< Left out of the prompt to fit the model.
  std::vector<RecordMetric> metrics;
};

/// What a task says of a model.
struct Evaluation {
  std::vector<RecordResult> records;  ///< In the order of the task.
  std::vector<MetricResult> metrics;
  std::size_t truncated_records = 0;  ///< Whose prompt lost tokens.

  /// Nothing when there is no such metric; an empty filter takes the first.
  const MetricResult* find(const std::string& name, const std::string& filter = {}) const;
};

/// Scores `model` on `task` as lm-evaluation-harness 0.4.13 does with `local-completions`
/// (docs/evaluation.md tells the details). Deterministic; the same records give the same results
/// for any limit and batch up to the rounding of the model's sums. Throws UsageError for a limit of
/// 0, a continuation longer than the model can take, and a tokenizer without BOS or EOS where one
/// has to stand for an empty text; Error for scores that are no numbers; Interrupted.
Evaluation evaluate(CausalModel& model, const Tokenizer& tokenizer, const Task& task,
                    const EvaluationOptions& options = {});

}  // namespace suture
