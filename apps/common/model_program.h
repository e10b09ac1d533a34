#pragma once

#include "common/command.h"

namespace suture::apps {

/// Replaces this process by the model program `suture-model`, run with the same arguments. Commands
/// that run a model live there, so that those that only move file bytes start without LibTorch.
/// Looks beside this program, then in the install tree's `libexec/suture`. Returns only by throwing
/// IoError.
int run_model_program(const Arguments& arguments);

}  // namespace suture::apps
