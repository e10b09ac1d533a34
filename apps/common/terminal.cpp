#include "common/terminal.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/ioctl.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "suture/error.h"

#include "format/file.h"
#include "format/staged_output.h"
#include "report/progress_text.h"

namespace suture::apps {
namespace {

std::atomic<bool> cancelled{false};
std::atomic<int> last_signal{0};

void on_signal(int signal) {
  if (last_signal.exchange(signal) != 0) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  cancelled = true;
}

bool speaks_utf8() {
  for (const char* variable : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') continue;
    const std::string text(value);
    return text.find("UTF-8") != std::string::npos || text.find("utf8") != std::string::npos;
  }
  return false;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

int columns_of(int descriptor) {
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// True while a progress line stands on stderr, to be wiped before anything else is said.
std::atomic<bool> progress_is_shown{false};

constexpr const char* kWipeLine = "\r\033[K";

void write_stderr(const std::string& text) {
  const ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
  static_cast<void>(ignored);
}

// One line, rewritten in place: what, how far, how fast, how long still.
class ProgressLine {
 public:
  void operator()(const Progress& progress) {
    const std::chrono::duration<double> now = Clock::now().time_since_epoch();
    const report::ProgressRate rate = estimate_.update(progress, now.count());
    const bool done = progress.bytes_done >= progress.bytes_total;
    // The last column stays free: a terminal may wrap when it is written to.
    write_stderr(kWipeLine +
                 (done ? std::string()
                       : report::progress_text(progress, rate, columns_of(STDERR_FILENO) - 1)));
    progress_is_shown = !done;
  }

 private:
  using Clock = std::chrono::steady_clock;
  report::ProgressEstimate estimate_;
};

format::Existing may_replace(const std::filesystem::path& report, const std::string& extension) {
  return report.extension() == extension ? format::Existing::kReplace : format::Existing::kRefuse;
}

std::filesystem::path place_of(const std::string& path) {
  std::error_code error;
  return std::filesystem::weakly_canonical(std::filesystem::absolute(path, error), error);
}

void refuse_one_place(const std::string& option, const std::string& path, const std::string& other,
                      const std::string& other_path) {
  if (path.empty() || other_path.empty() || place_of(path) != place_of(other_path)) return;
  throw UsageError({path, {}, "named by both " + option + " and " + other, "two places", {}});
}

void refuse_unwritable(const std::string& report, const std::string& extension,
                       const std::vector<std::string>& inputs) {
  if (report.empty() || report == "-") return;
  for (const std::string& input : inputs) {
    std::error_code error;
    if (!input.empty() && std::filesystem::exists(input, error))
      format::refuse_output_on_input(report, input);
  }
  format::refuse_unreplaceable(report, format::OutputKind::kFile, may_replace(report, extension));
}

}  // namespace

void write_stdout(const std::string& text) {
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      throw IoError({"stdout", {}, "cannot be written: " + format::describe_errno(errno), {}, {}});
    written += static_cast<std::size_t>(count);
  }
}

void say(const std::string& text) {
  write_stderr((progress_is_shown.exchange(false) ? kWipeLine : "") + text);
}

void write_result(const std::string& destination, const std::string& extension,
                  const std::string& text) {
  if (destination == "-") return write_stdout(text);
  format::StagedOutput stage(destination, format::OutputKind::kFile,
                             may_replace(destination, extension));
  format::write_small_file(stage.path_of({}), text);
  stage.commit();
}

report::ColourDepth colour_depth(ColourChoice choice, const ColourSigns& signs) {
  using report::ColourDepth;
  const bool is_mute = signs.term.empty() || signs.term == "dumb";
  const bool is_wanted =
      choice == ColourChoice::kAlways ||
      (choice == ColourChoice::kAuto && signs.is_terminal && signs.no_color.empty() && !is_mute);
  if (!is_wanted) return ColourDepth::kNone;
  if (signs.colorterm == "truecolor" || signs.colorterm == "24bit") return ColourDepth::kTrue;
  const bool has_palette = signs.term.find("256color") != std::string::npos;
  return has_palette || is_mute ? ColourDepth::k256 : ColourDepth::k16;
}

report::TextStyle text_style(const Arguments& arguments) {
  const ColourSigns signs{::isatty(STDOUT_FILENO) == 1, variable("TERM"), variable("COLORTERM"),
                          variable("NO_COLOR")};
  return {speaks_utf8() && !arguments.ascii, columns_of(STDOUT_FILENO),
          colour_depth(arguments.colour, signs)};
}

void refuse_unwritable_reports(const Arguments& arguments) {
  if (arguments.json.empty() && arguments.csv.empty() && arguments.html.empty()) return;
  refuse_one_place("--json", arguments.json, "--csv", arguments.csv);
  refuse_one_place("--json", arguments.json, "--html", arguments.html);
  refuse_one_place("--csv", arguments.csv, "--html", arguments.html);
  refuse_one_place("--json", arguments.json, "--output", arguments.output);
  refuse_one_place("--html", arguments.html, "--output", arguments.output);
  std::vector<std::string> inputs = arguments.tasks;
  inputs.push_back(arguments.base);
  inputs.push_back(arguments.target);
  for (const std::string& text : arguments.positional) {
    const VectorArgument vector = parse_vector_argument(text);
    inputs.insert(inputs.end(), {text, vector.minuend, vector.subtrahend});
  }
  refuse_unwritable(arguments.json, ".json", inputs);
  refuse_unwritable(arguments.csv, ".csv", inputs);
  refuse_unwritable(arguments.html, ".html", inputs);
}

RunOptions with_terminal(const Arguments& arguments) {
  RunOptions options = arguments.run;
  options.cancel = &cancelled;
  if (arguments.quiet) return options;
  options.on_note = [](const std::string& note) { say("note: " + note + "\n"); };
  const char* terminal = std::getenv("TERM");
  const bool plain = terminal != nullptr && std::strcmp(terminal, "dumb") == 0;
  if (::isatty(STDERR_FILENO) == 1 && !plain) options.on_progress = ProgressLine();
  return options;
}

int cancelling_signal() { return last_signal; }

void reserve_standard_streams() {
  // A stand-in fails as the closed stream does: what is written to opens for reading.
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    const int mode = descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (::open("/dev/null", mode) < 0) std::_Exit(2);
  }
}

void install_signal_handlers() {
  // Without SA_RESTART, so that a read that waits for input ends.
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A broken pipe and a file over its limit are errors of the write, to be told and cleaned up
  // after.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace suture::apps
