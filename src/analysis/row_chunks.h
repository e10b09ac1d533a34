#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace suture {

/// Calls `work(first, count)` for some rows of a matrix after the others: as many as stay in a
/// core's cache in float64, or are worth a GPU's while. The matrix may be too large to be there
/// twice.
template <typename Work>
void for_each_row_chunk(const at::Tensor& matrix, Work work) {
  constexpr std::int64_t kElements = std::int64_t{1} << 18;
  const std::int64_t scale = matrix.is_cpu() ? 1 : 64;
  const std::int64_t columns = std::max<std::int64_t>(1, matrix.size(1));
  const std::int64_t rows = std::max<std::int64_t>(1, scale * kElements / columns);
  for (std::int64_t first = 0; first < matrix.size(0); first += rows)
    work(first, std::min(rows, matrix.size(0) - first));
}

/// The numbers of a tensor on the CPU, in float64.
inline std::vector<double> to_vector(const at::Tensor& values) {
  const at::Tensor dense = values.to(at::kCPU, at::kDouble).contiguous();
  const double* data = dense.const_data_ptr<double>();
  return {data, data + dense.numel()};
}

}  // namespace suture
