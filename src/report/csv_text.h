#pragma once

#include <optional>
#include <string>

namespace suture::report {

/// A text as one field of RFC 4180. Names are hostile: quoted where needed, and with a leading
/// apostrophe where a spreadsheet would read a formula.
std::string csv_field(std::string text);

/// A number that reads back as the same; `inf`, `-inf` and `nan` for what is none.
std::string csv_number(double value);

/// Empty where there is none.
std::string csv_number(const std::optional<double>& value);

}  // namespace suture::report
