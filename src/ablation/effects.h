#pragma once

#include "suture/ablation.h"

namespace suture::ablation {

/// Fills in each arm's effects: differences from its reference on the same records, tested, and
/// corrected over the arms of a family (Holm, 1979) for each metric. Arms whose evaluator told no
/// records have a difference alone. Throws UsageError when arms were scored on different records.
void add_effects(Ablation& ablation);

}  // namespace suture::ablation
