#include "common/program.h"

#include <exception>
#include <new>
#include <string>

#include "suture/error.h"
#include "suture/version.h"

#include "common/terminal.h"
#include "core/nearest_name.h"
#include "report/text_report.h"

namespace suture::apps {
namespace {

std::string overview(const Commands& commands) {
  std::string text = "suture: model surgery with task vectors\n\n";
  for (const Command* command : commands) {
    text += "  suture " + command->spec.usage + "\n      " + command->spec.summary + "\n";
  }
  return text +
         "\nA model is a folder, a file, or org/name[@revision] in the local Hugging Face cache.\n"
         "`suture COMMAND --help` tells more; `suture --version` prints the version.\n";
}

// `check, extract or inject`.
std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return text;
}

const Command& find_command(const Commands& commands, const std::string& name) {
  std::vector<std::string> names;
  for (const Command* command : commands) {
    if (command->spec.name == name) return *command;
    names.push_back(command->spec.name);
  }
  throw UsageError(
      {{}, {}, "no command '" + printable(name) + "'", listed(names), did_you_mean(name, names)});
}

int dispatch(const Commands& commands, int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  if (first.empty()) {
    say(overview(commands));
    return kBadInput;
  }
  if (first == "--help" || first == "-h" || first == "help")
    return write_stdout(overview(commands)), kDone;
  if (first == "--version") return write_stdout(std::string("suture ") + kVersion + "\n"), kDone;
  const Command& command = find_command(commands, first);
  auto arguments = parse_arguments(command.spec, argc - 1, argv + 1);
  if (!arguments) return write_stdout(help_text(command.spec)), kDone;
  arguments->command_line.assign(argv + 1, argv + argc);
  refuse_unwritable_reports(*arguments);
  return command.run(*arguments);
}

int fail(const std::string& message, int status) {
  say("suture: " + message + "\n");
  return status;
}

}  // namespace

int run_program(const Commands& commands, int argc, char** argv) {
  try {
    return dispatch(commands, argc, argv);
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

}  // namespace suture::apps
