#pragma once

#include "surgery/comparison.h"

namespace suture {

/// Layers, and tensors by name, shape and dtype.
void compare_tensors(Comparison& comparison);

}  // namespace suture
