#pragma once

#include <vector>

#include "surgery/plan.h"

namespace suture {

/// The narrowest exact dtype of each `tuned - base`, judged by up to 64 pieces of 4096 elements
/// spread over it: a guess for large tensors, which may prove too narrow, and certain for small
/// ones. It depends on the content alone. Outputs as for `survey_donors`. Throws IoError,
/// Interrupted.
std::vector<Dtype> forecast_dtypes(const std::vector<OutputTensor>& outputs,
                                   const RunOptions& options);

}  // namespace suture
