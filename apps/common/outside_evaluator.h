#pragma once

#include <string>
#include <vector>

#include "suture/ablation.h"

namespace suture::apps {

/// Runs a shell command whose last line of output tells scores, and reads them: a number, or a JSON
/// object of numbers (scores) and lists of numbers (a score for each record). `{model}` in the
/// command stands for `folder`. Throws Error when the command fails, FormatError when its last line
/// tells no scores, Interrupted when it was stopped by a signal that stops this program, too.
std::vector<ArmMetric> run_outside_evaluator(const std::string& command, const std::string& folder);

/// The scores that a line tells.
std::vector<ArmMetric> parse_scores(const std::string& line, const std::string& command);

}  // namespace suture::apps
