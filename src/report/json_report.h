#pragma once

#include <string>

#include "suture/analysis.h"
#include "suture/compatibility.h"
#include "suture/surgery.h"

namespace suture::report {

/// Results as JSON text with a stable schema (`schema` names it and its version), ending in a
/// newline. docs/command-line.md lists the fields.
std::string to_json(const Compatibility& compatibility);
std::string to_json(const ExtractReport& report);
std::string to_json(const InjectReport& report);
std::string to_json(const Analysis& analysis);

}  // namespace suture::report
