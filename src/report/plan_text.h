#pragma once

#include <string>
#include <vector>

#include "suture/plan.h"

namespace suture::report {

/// What a run would read, write and need, as a table, ending in a newline. Names are made
/// printable.
std::string to_text(const Plan& plan);

/// Where each of `tensors` comes from: files and byte ranges, terms with their scales, or why it is
/// left out. A few lines each.
std::string explanation_text(const std::vector<PlannedTensor>& tensors);

}  // namespace suture::report
