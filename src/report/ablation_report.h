#pragma once

#include <string>
#include <vector>

#include "suture/ablation.h"
#include "suture/task.h"

#include "report/evaluation_report.h"
#include "report/text.h"

namespace suture::report {

/// How a sweep or an ablation came about.
struct AblationProtocol {
  std::string command;            ///< `ablate` or `sweep`.
  EvaluationProtocol evaluation;  ///< Of the target. Its times are not told: the same run gives the
                                  ///< same file.
  std::vector<Task> tasks;        ///< Empty with an outside evaluator.
  std::string vector;             ///< The formula: `0.8 * (grpo - sft)`.
  std::string vector_digest;      ///< Of everything the vector is read from.
  std::string outside_evaluator;  ///< The command that scored the models, or empty.
};

/// For each task a table of its right-or-wrong metric (the primary one, if the task names one) and
/// one of its first continuous metric: scores, effects, intervals. Names are made printable; no
/// line is wider than the terminal.
std::string to_text(const AblationProtocol& protocol, const Ablation& ablation,
                    const TextStyle& style);

/// Everything, record by record, as JSON with the schema `suture.ablation/1`.
std::string to_json(const AblationProtocol& protocol, const Ablation& ablation);

/// One line per arm and metric; RFC 4180, as the other CSV files.
std::string to_csv(const Ablation& ablation);

/// `without layer=3  exact_match 0.412 (-0.031)`: one finished arm with, for each task, its first
/// right-or-wrong metric, and the effect where it is known. Printable, without a line end.
std::string arm_line(const ArmResult& result);

}  // namespace suture::report
