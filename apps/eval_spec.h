#pragma once

#include "common/command.h"

namespace suture::apps {

/// What a user may say to `eval`, in both programs.
const CommandSpec& eval_spec();

}  // namespace suture::apps
