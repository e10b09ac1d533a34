#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <string>

#include "suture/error.h"
#include "suture/version.h"

#include "common/command.h"
#include "common/terminal.h"
#include "core/nearest_name.h"
#include "report/text_report.h"

namespace suture::apps {
namespace {

const std::vector<const Command*>& commands() {
  static const std::vector<const Command*> list{&check_command(), &extract_command(),
                                                &inject_command(), &analyze_command()};
  return list;
}

std::string overview() {
  std::string text = "suture: model surgery with task vectors\n\n";
  for (const Command* command : commands()) {
    text += "  suture " + command->spec.usage + "\n      " + command->spec.summary + "\n";
  }
  return text +
         "\nA model is a folder, a file, or org/name[@revision] in the local Hugging Face cache.\n"
         "`suture COMMAND --help` tells more; `suture --version` prints the version.\n";
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command* command : commands()) {
    if (command->spec.name == name) return *command;
    names.push_back(command->spec.name);
  }
  throw UsageError({{},
                    {},
                    "no command '" + printable(name) + "'",
                    "check, extract, inject or analyze",
                    did_you_mean(name, names)});
}

int dispatch(int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  if (first.empty()) {
    say(overview());
    return kBadInput;
  }
  if (first == "--help" || first == "-h" || first == "help") return write_stdout(overview()), kDone;
  if (first == "--version") return write_stdout(std::string("suture ") + kVersion + "\n"), kDone;
  const Command& command = find_command(first);
  const auto arguments = parse_arguments(command.spec, argc - 1, argv + 1);
  if (!arguments) return write_stdout(help_text(command.spec)), kDone;
  refuse_unwritable_reports(*arguments);
  return command.run(*arguments);
}

int fail(const std::string& message, int status) {
  say("suture: " + message + "\n");
  return status;
}

// Every way a command can end, as one line and an exit status.
int run_program(int argc, char** argv) {
  try {
    return dispatch(argc, argv);
  } catch (const IncompatibleModels& error) {
    say(report::to_text(error.compatibility(), {}));
    return kAnswerIsNo;
  } catch (const CompatibilityError& error) {
    return fail(error.what(), kAnswerIsNo);
  } catch (const Interrupted& error) {
    return fail(error.what(), 128 + cancelling_signal());
  } catch (const Error& error) {
    return fail(error.what(), kBadInput);
  } catch (const std::bad_alloc&) {
    return fail("out of memory; a smaller --memory or fewer --threads may help", kBadInput);
  } catch (const std::exception& error) {
    return fail(printable(error.what()), kBadInput);
  }
}

}  // namespace
}  // namespace suture::apps

int main(int argc, char** argv) {
  suture::apps::install_signal_handlers();
  return suture::apps::run_program(argc, argv);
}
