#pragma once

#include "surgery/comparison.h"

namespace suture {

/// Architecture, structure, rope and norm settings, tied embeddings; and what an adapter changes of
/// tied ones.
void compare_configs(Comparison& comparison);

}  // namespace suture
