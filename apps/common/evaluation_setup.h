#pragma once

#include <string>
#include <vector>

#include "suture/evaluation.h"
#include "suture/language_model.h"
#include "suture/task.h"

#include "common/arguments.h"
#include "report/evaluation_report.h"

namespace suture::apps {

/// The digest of names and bytes of all weights, as they compute.
std::string weights_digest(const StateDict& weights);

/// The tasks that --task names. Throws UsageError when there is none, when two have one name, and
/// for options that do not go together.
std::vector<Task> open_tasks(const Arguments& arguments);

/// How the options say that tasks are put to the model, the first argument.
EvaluationOptions evaluation_options(const Arguments& arguments, const RunOptions& run,
                                     const LanguageModel& model);

/// What scores of the model mean nothing without, but for `options` and times.
report::EvaluationProtocol protocol_of(const Arguments& arguments, const LanguageModel& model,
                                       const Tokenizer& tokenizer);

}  // namespace suture::apps
