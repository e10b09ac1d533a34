#include "report/csv_text.h"

#include <cmath>
#include <cstdio>

namespace suture::report {

std::string csv_field(std::string text) {
  if (!text.empty() && std::string("=+-@\t\r").find(text[0]) != std::string::npos)
    text.insert(0, "'");
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv_number(double value) {
  if (std::isnan(value)) return "nan";  // its sign tells nothing
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string csv_number(const std::optional<double>& value) {
  return value ? csv_number(*value) : std::string();
}

}  // namespace suture::report
