#pragma once

#include <nlohmann/json_fwd.hpp>

#include "report/evaluation_report.h"

namespace suture::report {

// What the JSON of evaluations and of ablations tells alike.

/// The conditions, without times.
nlohmann::ordered_json describe(const EvaluationProtocol& protocol);

/// Which data a task is: name, version, kind, digest, number of records.
nlohmann::ordered_json describe_data(const Task& task);

/// How a generation is decoded.
nlohmann::ordered_json describe_decoding(const TaskSettings& settings,
                                         const EvaluationOptions& options);

/// What is around a record's own prompt, and what of an answer counts.
nlohmann::ordered_json describe_prompt(const TaskSettings& settings,
                                       const EvaluationOptions& options);

}  // namespace suture::report
