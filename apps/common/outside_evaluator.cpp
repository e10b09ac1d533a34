#include "common/outside_evaluator.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suture/error.h"

#include "common/shell_text.h"
#include "common/terminal.h"
#include "format/file.h"
#include "format/json.h"

namespace suture::apps {
namespace {

using format::Json;

constexpr std::size_t kMaxOutputBytes = 256u << 20;
constexpr const char* kExpected =
    "a number, or {\"NAME\": number or [a number for each record], ...}";

std::string with_folder(std::string command, const std::string& folder) {
  const std::string place = "{model}", value = shell_quoted(folder);
  for (std::size_t at = 0; (at = command.find(place, at)) != std::string::npos; at += value.size())
    command.replace(at, place.size(), value);
  return command;
}

[[noreturn]] void refuse(const std::string& command, const std::string& found) {
  throw FormatError({"--eval-cmd '" + command + "'", {}, found, kExpected, "print it last"});
}

// A shell that runs a command, in a process group of its own and without input. It gets the signals
// that this program ignores, and the one that stops it.
class Shell {
 public:
  explicit Shell(std::string command) : command_(std::move(command)) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("cannot be started", errno);
    output_ = ends[0];
    const int error = spawn(ends[1]);
    ::close(ends[1]);
    if (error != 0) {
      ::close(output_);
      fail("cannot be started", error);
    }
  }
  Shell(const Shell&) = delete;
  Shell& operator=(const Shell&) = delete;
  ~Shell() {
    ::close(output_);
    if (child_ <= 0) return;
    ::kill(-child_, cancelling_signal() != 0 ? cancelling_signal() : SIGTERM);
    while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  // The next piece of the output; 0 at its end.
  std::size_t read(char* piece, std::size_t bytes) const {
    for (;;) {
      pollfd waiting{output_, POLLIN, 0};
      const int ready = ::poll(&waiting, 1, 200);
      if (cancelling_signal() != 0) throw Interrupted();
      if (ready <= 0) continue;
      const ssize_t count = ::read(output_, piece, bytes);
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR) fail("its output cannot be read", errno);
    }
  }

  // Waits for the end, and gives the status as waitpid does.
  int wait() {
    int status = 0;
    while (::waitpid(child_, &status, 0) < 0) {
      if (cancelling_signal() != 0) throw Interrupted();
      if (errno != EINTR) fail("its end cannot be told", errno);
    }
    child_ = 0;
    return status;
  }

 private:
  int spawn(int output) {
    posix_spawn_file_actions_t streams;
    posix_spawn_file_actions_init(&streams);
    posix_spawn_file_actions_addopen(&streams, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&streams, output, STDOUT_FILENO);
    sigset_t ignored_here;
    sigemptyset(&ignored_here);
    sigaddset(&ignored_here, SIGPIPE);
    sigaddset(&ignored_here, SIGXFSZ);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &ignored_here);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    std::string name = "sh", option = "-c";
    char* const words[] = {name.data(), option.data(), command_.data(), nullptr};
    const int error = ::posix_spawn(&child_, "/bin/sh", &streams, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&streams);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) child_ = 0;
    return error;
  }

  [[noreturn]] void fail(const std::string& what, int error) const {
    throw IoError(
        {"--eval-cmd '" + command_ + "'", {}, what + ": " + format::describe_errno(error), {}, {}});
  }

  std::string command_;
  int output_ = -1;
  pid_t child_ = 0;
};

std::string run_command(const std::string& command) {
  Shell shell(command);
  std::string output;
  char piece[1 << 16];
  while (const std::size_t count = shell.read(piece, sizeof piece)) {
    output.append(piece, count);
    if (output.size() > kMaxOutputBytes) refuse(command, "more output than 256 MiB");
  }
  const int status = shell.wait();
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
