#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/error.h"
#include "suture/run_options.h"
#include "suture/state_dict.h"

#include "surgery/form.h"

namespace suture {

/// weight <- round(weight + sum of terms), computed on the CPU: in place when the weight is dense
/// there, else on a copy that is copied back.
void apply_terms(const at::Tensor& weight, const std::vector<ActiveTerm>& terms,
                 const RunOptions& options);

/// Throws CompatibilityError when terms (at least one) called `name` cannot be added to `weight`:
/// it is of another shape or of a dtype that is not computed with.
void require_applicable(const std::string& name, const std::vector<ActiveTerm>& terms,
                        const at::Tensor& weight);

/// The error for a tensor of the vector that the weights lack; it tells whether they have it under
/// another name.
CompatibilityError missing_weight(const std::string& name, const TaskVector& vector,
                                  const StateDict& weights);

}  // namespace suture
