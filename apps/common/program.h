#pragma once

#include <vector>

#include "common/command.h"

namespace suture::apps {

using Commands = std::vector<const Command*>;

/// Runs the command that the first argument names. Every way it can end becomes one line on stderr
/// and an exit status, which is returned.
int run_program(const Commands& commands, int argc, char** argv);

}  // namespace suture::apps
