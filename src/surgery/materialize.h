#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/run_options.h"

#include "surgery/form.h"

namespace suture {

/// The sum of one tensor's terms (at least one) on the CPU, as float32, or float64 where an operand
/// is.
at::Tensor materialize_terms(const std::vector<ActiveTerm>& terms, const RunOptions& options);

}  // namespace suture
