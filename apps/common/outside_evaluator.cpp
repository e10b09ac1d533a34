#include "common/outside_evaluator.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <sys/wait.h>

#include "suture/error.h"

#include "common/terminal.h"
#include "format/json.h"

namespace suture::apps {
namespace {

using format::Json;

constexpr std::size_t kMaxOutputBytes = 256u << 20;
constexpr const char* kExpected =
    "a number, or {\"NAME\": number or [a number for each record], ...}";

// In single quotes, where a shell takes everything as it is.
std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string with_folder(std::string command, const std::string& folder) {
  const std::string place = "{model}", value = shell_quoted(folder);
  for (std::size_t at = 0; (at = command.find(place, at)) != std::string::npos; at += value.size())
    command.replace(at, place.size(), value);
  return command;
}

[[noreturn]] void refuse(const std::string& command, const std::string& found) {
  throw FormatError({"--eval-cmd '" + command + "'", {}, found, kExpected, "print it last"});
}

std::string run_command(const std::string& command) {
  const auto close = [](std::FILE* pipe) { ::pclose(pipe); };
  std::unique_ptr<std::FILE, decltype(close)> pipe(::popen(command.c_str(), "re"), close);
  if (!pipe) throw IoError({command, {}, "cannot be started", {}, {}});
  std::string output;
  char piece[1 << 16];
  for (std::size_t count; (count = std::fread(piece, 1, sizeof piece, pipe.get())) > 0;) {
    output.append(piece, count);
    if (output.size() > kMaxOutputBytes) refuse(command, "more output than 256 MiB");
  }
  const int status = ::pclose(pipe.release());
  if (cancelling_signal() != 0) throw Interrupted();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw Error({"--eval-cmd '" + command + "'",
                 {},
                 WIFEXITED(status) ? "ended with status " + std::to_string(WEXITSTATUS(status))
                                   : "was ended by a signal",
                 "status 0",
                 "what it said stands above"});
  return output;
}

std::string last_line(const std::string& output) {
  const std::size_t end = output.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return {};
  const std::size_t begin = output.rfind('\n', end);
  return output.substr(begin + 1, end - begin);
}

double number_of(const Json& json, const std::string& command) {
  if (!json.is_number())
    refuse(command,
           "a score that is no number: " +
               printable(json.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80)));
  return json.get<double>();
}

ArmMetric metric_of(const std::string& name, const Json& json, const std::string& command) {
  ArmMetric metric;
  metric.task = "eval-cmd";
  metric.name = name;
  metric.filter = "none";
  if (!json.is_array()) {
    metric.value = number_of(json, command);
    return metric;
  }
  if (json.empty()) refuse(command, "no record of '" + printable(name) + "'");
  for (const Json& record : json) metric.records.push_back(number_of(record, command));
  for (const double record : metric.records) metric.value += record;
  metric.value /= static_cast<double>(metric.records.size());
  metric.is_share = std::all_of(metric.records.begin(), metric.records.end(),
                                [](double record) { return record == 0 || record == 1; });
  return metric;
}

}  // namespace

std::vector<ArmMetric> parse_scores(const std::string& line, const std::string& command) {
  if (line.empty()) refuse(command, "no output");
  Json json;
  try {
    json = format::parse_json(line, "--eval-cmd");
  } catch (const FormatError&) {
    refuse(command, "the last line '" + printable(line.substr(0, 80)) + "'");
  }
  if (json.is_number()) return {metric_of("score", json, command)};
  if (!json.is_object() || json.empty())
    refuse(command, "the last line '" + printable(line.substr(0, 80)) + "'");
  std::vector<ArmMetric> metrics;
  for (const auto& [name, value] : json.items()) metrics.push_back(metric_of(name, value, command));
  return metrics;
}

std::vector<ArmMetric> run_outside_evaluator(const std::string& command,
                                             const std::string& folder) {
  return parse_scores(last_line(run_command(with_folder(command, folder))), command);
}

}  // namespace suture::apps
