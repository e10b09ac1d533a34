#pragma once

#include "suture/language_model.h"

#include "common/arguments.h"

namespace suture::apps {

/// How the model of a command computes, as its options say. --threads also sets the number of
/// LibTorch's threads in this process.
LanguageModelOptions model_options(const Arguments& arguments, const RunOptions& run);

}  // namespace suture::apps
