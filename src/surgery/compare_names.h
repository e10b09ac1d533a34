#pragma once

#include "surgery/comparison.h"

namespace suture {

/// How the names of one were read as those of the other, and what is there under two names.
void compare_names(Comparison& comparison);

}  // namespace suture
