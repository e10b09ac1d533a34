#pragma once

#include <string>

#include "suture/analysis.h"

namespace suture::report {

/// One line per vector and part (level, part, vector, ...), then one per pair and part; RFC 4180. A
/// part that begins like a spreadsheet formula is quoted with a leading apostrophe.
std::string to_csv(const Analysis& analysis);

}  // namespace suture::report
