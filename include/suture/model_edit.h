#pragma once

#include <string>
#include <vector>

#include "suture/selection.h"

namespace suture {

/// What a model is to be: `target + Σ scale_i · vector_i` on the selected tensors.
struct ModelEdit {
  std::vector<double> scales;  ///< By vector; 0 leaves one out.
  Selection only;
  std::string prompt;  ///< To be answered as a sample; empty: the explorer's own.
};

}  // namespace suture
