#pragma once

#include <cstdint>
#include <vector>

#include "stream/weights_writer.h"
#include "surgery/plan.h"

namespace suture {

/// A tensor to be stored sparse: one segment, a difference, and how many values each block of it
/// has, as `survey_donors` counted them in the dtype of `output->info`.
struct SparseOutput {
  const OutputTensor* output = nullptr;
  std::vector<std::uint64_t> block_values;
};

/// Makes the tensors again, tile by tile, and writes their parts, which the layout of `writer` must
/// hold. Throws IoError also when a donor has changed since it was counted, Interrupted.
void write_sparse(const std::vector<SparseOutput>& outputs, stream::WeightsWriter& writer,
                  const RunOptions& options);

}  // namespace suture
