#pragma once

#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "suture/realised_change.h"

#include "kernels/linear_form.h"
#include "surgery/plan.h"

namespace suture {

/// Rolls what `execute` measured on each output up by layer, tensors in the order of their names.
RealisedChanges roll_up(const std::vector<OutputTensor>& outputs,
                        const std::vector<kernels::ChangeSums>& sums);

/// As JSON; `changed` is a share.
nlohmann::ordered_json describe(const RealisedChange& change);

/// The table as JSON: `total`, `layers` with their number, `outside_layers`.
nlohmann::ordered_json describe(const RealisedChanges& changes);

}  // namespace suture
