#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "suture/evaluation.h"

#include "report/text.h"

namespace suture::report {

/// Under which conditions scores came about: what a number means nothing without.
struct EvaluationProtocol {
  std::string model;             ///< The argument as given.
  std::string architecture;      ///< `Qwen2ForCausalLM`.
  std::string model_digest;      ///< Of the model's configuration and weights.
  std::string tokenizer_digest;  ///< Of everything that decides ids.
  std::string dtype, device;
  std::int64_t parameters = 0, max_length = 0;
  EvaluationOptions options;
  std::string end_token;  ///< The text of EOS, which ends every generation.
  double start_time = 0;  ///< Seconds since 1970.
  double seconds = 0;     ///< How long all tasks took.
};

struct TaskEvaluation {
  Task task;
  Evaluation evaluation;
};

/// One row per metric: value, standard error, 95 % interval.
std::string to_text(const std::vector<TaskEvaluation>& tasks);

/// Everything of a run but the records, as JSON with the schema `suture.eval/1`.
std::string to_json(const EvaluationProtocol& protocol, const std::vector<TaskEvaluation>& tasks);

/// Completions for an outside program that runs code: `{"task_id", "completion"}` by line.
std::string completion_lines(const TaskEvaluation& task);

// --- The files of lm-evaluation-harness 0.4.13 ---------------------------------------------------

/// The name as a folder: what file systems dislike becomes `__`.
std::string sanitized_model_name(const std::string& name);

/// `samples_TASK_TIME.jsonl`: one object per record and answer filter.
std::string harness_samples(const EvaluationProtocol& protocol, const TaskEvaluation& task);

/// `results_TIME.json`.
std::string harness_results(const EvaluationProtocol& protocol,
                            const std::vector<TaskEvaluation>& tasks);

}  // namespace suture::report
