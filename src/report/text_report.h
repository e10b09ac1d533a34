#pragma once

#include <string>

#include "suture/analysis.h"
#include "suture/compatibility.h"
#include "suture/surgery.h"

#include "report/text.h"

namespace suture::report {

/// Results for people to read in a terminal, ending in a newline. Tensor names are made printable.
std::string to_text(const Compatibility& compatibility, const TextStyle& style);
std::string to_text(const Analysis& analysis, const TextStyle& style);

/// One or two sentences on what was done.
std::string to_text(const ExtractReport& report);
std::string to_text(const InjectReport& report);

/// What rounding left, or would leave, of a vector, with a warning where that is poor; empty where
/// nothing was to change.
std::string to_text(const RealisedChanges& changes);

}  // namespace suture::report
