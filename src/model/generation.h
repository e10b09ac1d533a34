#pragma once

#include <vector>

#include "suture/causal_model.h"

#include "model/decoder.h"

namespace suture::model {

/// Continues prompts, a batch at a time; what the prompts of a batch share is fed once. Results are
/// in the order of the requests, which must have been checked.
std::vector<Generation> generate(Decoder& decoder, const std::vector<GenerationRequest>& requests,
                                 const ModelRun& run);

}  // namespace suture::model
