#pragma once

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace suture::test {

/// How a run of the program ended and what it said.
struct Outcome {
  int status = -1;  ///< The exit status; -1 when a signal killed it.
  int signal = 0;   ///< The signal that killed it, or 0.
  std::string out, err;
};

/// A run of the program: what a shell would set up before starting it.
struct Invocation {
  std::vector<std::string> arguments;
  std::filesystem::path folder = {};                    ///< Where it runs; here when empty.
  std::map<std::string, std::string> environment = {};  ///< Set on top of what the test has.
  std::vector<std::string> unset = {};                  ///< Variables taken away.
  std::map<int, rlim_t> limits = {};                    ///< By RLIMIT_ number.
  std::string stdout_file = {};                         ///< Opened for stdout instead of a capture.
  std::vector<int> closed = {};                         ///< Descriptors closed before the start.
  int stdout_descriptor = -1;                           ///< Taken as stdout instead of a capture.
};

/// A program that has been started. Destroying one that still runs kills it.
class RunningProgram {
 public:
  explicit RunningProgram(const Invocation& invocation)
      : out_(make_capture()), err_(make_capture()) {
    child_ = ::fork();
    if (child_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (child_ == 0) become(invocation);
  }
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;
  ~RunningProgram() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(out_);
    ::close(err_);
  }

  pid_t pid() const { return child_; }

  /// Waits until the program has stopped itself; false when it ended without doing so.
  bool wait_until_stopped() {
    int status = 0;
    if (::waitpid(child_, &status, WUNTRACED) != child_) return false;
    if (WIFSTOPPED(status)) return true;
    ended(status);
    return false;
  }

  /// Sends a signal; nothing once the program has ended.
  void send(int signal) const {
    if (child_ > 0) ::kill(child_, signal);
  }

  /// Waits for the end.
  Outcome wait() {
    int status = 0;
    if (child_ > 0 && ::waitpid(child_, &status, 0) == child_) ended(status);
    outcome_.out = content(out_);
    outcome_.err = content(err_);
    return outcome_;
  }

 private:
  static int make_capture() {
    const int descriptor = ::memfd_create("capture", MFD_CLOEXEC);
    if (descriptor < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
    return descriptor;
  }

  void ended(int status) {
    child_ = -1;
    outcome_.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    outcome_.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

  static std::string content(int descriptor) {
    std::string text(static_cast<std::size_t>(::lseek(descriptor, 0, SEEK_END)), '\0');
    if (::pread(descriptor, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
      throw std::runtime_error("cannot read what the program said");
    return text;
  }

  [[noreturn]] void become(const Invocation& invocation) const {
    int out = invocation.stdout_descriptor >= 0 ? invocation.stdout_descriptor : out_;
    if (!invocation.stdout_file.empty()) out = ::open(invocation.stdout_file.c_str(), O_WRONLY);
    const int in = ::open("/dev/null", O_RDONLY);
    if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err_, 2) < 0) ::_exit(125);
    if (!invocation.folder.empty() && ::chdir(invocation.folder.c_str()) != 0) ::_exit(125);
    for (const std::string& name : invocation.unset) ::unsetenv(name.c_str());
    for (const auto& [name, value] : invocation.environment)
      ::setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> arguments{const_cast<char*>(SUTURE_PROGRAM)};
    for (const std::string& argument : invocation.arguments)
      arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    for (const int descriptor : invocation.closed) ::close(descriptor);
    for (const auto& [resource, limit] : invocation.limits) {
      const rlimit both{limit, limit};
      ::setrlimit(static_cast<__rlimit_resource>(resource), &both);
    }
    ::execv(SUTURE_PROGRAM, arguments.data());
    ::_exit(126);
  }

  int out_, err_;
  pid_t child_ = -1;
  Outcome outcome_;
};

/// Runs the program to its end.
inline Outcome run_program(const Invocation& invocation) {
  return RunningProgram(invocation).wait();
}

/// Succeeds when the run ended with `status`; shows what it said when not.
inline testing::AssertionResult ended_with(const Outcome& outcome, int status) {
  if (outcome.signal == 0 && outcome.status == status) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << (outcome.signal != 0 ? "killed by signal " + std::to_string(outcome.signal)
                                 : "status " + std::to_string(outcome.status))
         << " instead of " << status << "; stdout: " << outcome.out << "; stderr: " << outcome.err;
}

/// Succeeds when the run was refused as a user expects it: exit status 2, nothing on stdout, and
/// on stderr one line without control characters that holds `named`.
inline testing::AssertionResult was_refused(const Outcome& outcome, const std::string& named) {
  if (const auto ended = ended_with(outcome, 2); !ended) return ended;
  const std::string& err = outcome.err;
  const bool one_line = !err.empty() && err.find('\n') == err.size() - 1;
  for (const char c : err.substr(0, err.empty() ? 0 : err.size() - 1)) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
      return testing::AssertionFailure() << "a control character in: " << err;
  }
  if (!one_line) return testing::AssertionFailure() << "not one line: " << err;
  if (!outcome.out.empty()) return testing::AssertionFailure() << "stdout: " << outcome.out;
  if (err.rfind("suture: ", 0) != 0 || err.find(named) == std::string::npos)
    return testing::AssertionFailure() << "'" << named << "' is not in: " << err;
  return testing::AssertionSuccess();
}

}  // namespace suture::test
