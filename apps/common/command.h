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
const Command& report_command();
const Command& tokenize_command();

/// Each program has its own way to compute spectra, and adapters.
const CommandSpec& analyze_spec();
const CommandSpec& extract_spec();

/// Of commands that run a model `suture` knows what the user may say; the model program does it.
const CommandSpec& eval_spec();
const CommandSpec& serve_spec();
const CommandSpec& sweep_spec();
const CommandSpec& ablate_spec();
const CommandSpec& explore_spec();
const Command& eval_command();
const Command& serve_command();
const Command& sweep_command();
const Command& ablate_command();
const Command& explore_command();

}  // namespace suture::apps
