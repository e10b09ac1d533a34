#pragma once

#include "common/arguments.h"

namespace suture::apps {

/// Exit statuses: part of the program's contract.
enum ExitStatus { kDone = 0, kAnswerIsNo = 1, kBadInput = 2 };

/// A subcommand: what the user may say, and what is then done. `run` returns the exit status.
struct Command {
  CommandSpec spec;
  int (*run)(const Arguments& arguments);
};

const Command& check_command();
const Command& extract_command();
const Command& inject_command();
const Command& analyze_command();
const Command& tokenize_command();

/// `eval` as `suture` knows it: the model program runs it.
const Command& eval_command();
/// `eval` in the model program.
const Command& eval_model_command();

}  // namespace suture::apps
