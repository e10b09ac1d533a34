#pragma once

#include <string>

#include "suture/evaluation.h"

namespace suture::evaluation {

/// What is fed before a record's answer: the task's preamble and the record's own text; with a chat
/// template the same as one message of the user, behind which the assistant's answer begins. The
/// task's description then goes into the system message.
std::string prompt_of(const Task& task, const std::string& own, const EvaluationOptions& options);

/// A continuation as it is fed. Behind a chat template no delimiter stands before a choice.
const std::string& continuation_of(const TaskRecord& record, std::size_t index,
                                   const EvaluationOptions& options);

}  // namespace suture::evaluation
