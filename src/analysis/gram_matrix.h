#pragma once

#include <ATen/core/Tensor.h>

#include "suture/run_options.h"

namespace suture {

/// a'a in a's own dtype, summed over some rows there and over all of them in float64. Of a float32
/// matrix on the CPU by a kernel that computes one half of it (kernels/gram.h); `run` may be null,
/// and does not change the result. Throws Interrupted.
at::Tensor gram_matrix(const at::Tensor& a, const RunOptions* run);

/// What a matrix makes of some columns.
struct GramProduct {
  at::Tensor image;    ///< a x.
  at::Tensor product;  ///< a'(a x), where it was asked for.
};

/// In a's own dtype, on its device. `x` has a multiple of 16 columns.
GramProduct gram_product(const at::Tensor& a, const at::Tensor& x, bool with_product);

}  // namespace suture
