#pragma once

#include <cstddef>

#include "suture/dtype.h"

namespace suture::kernels {

/// A linear layer as it is stored: `rows` × `columns` weights, row by row, and `rows` biases or
/// none. Computable dtypes but f64.
struct LinearLayer {
  Dtype dtype = Dtype::kF32;
  const void* weight = nullptr;
  const void* bias = nullptr;  ///< Of the same dtype; null for none.
  std::size_t rows = 0, columns = 0;
};

/// Most inputs that `weight_product` takes at once.
inline constexpr std::size_t kMaxProductInputs = 8;

/// For a few inputs, out[i][r] = bias[r] + Σ_c weight[r][c] · inputs[i][c], over the layer's rows
/// `begin` to `end`: for so few, reading the weights is the cost, and they are read once, in the
/// dtype they are stored in. `inputs` is dense, `out` has `out_stride` floats from one input's
/// results to the next. Sums are in float32, in 16 interleaved lanes, the same for any range of
/// rows.
void weight_product(const LinearLayer& layer, const float* inputs, std::size_t input_count,
                    std::size_t begin, std::size_t end, float* out, std::size_t out_stride);

}  // namespace suture::kernels
