#pragma once

#include "surgery/comparison.h"

namespace suture {

/// Which token is which row, by content.
void compare_tokenizers(Comparison& comparison);

}  // namespace suture
