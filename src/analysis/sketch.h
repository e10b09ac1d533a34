#pragma once

#include <cstdint>
#include <tuple>

#include <ATen/ATen.h>

namespace suture {

// What random sketches of a matrix share.

inline constexpr std::int64_t kOversampling = 10;  ///< Columns beyond the rank that is wanted.
inline constexpr std::int64_t kSketchBlocks =
    4;  ///< x, (a'a) x, ...: where no bound hangs on them.

/// True when a'a and products with it stay within float32, whose squares end at 1e-38 and 1e38.
inline bool is_safe_in_float32(double squared_norm) {
  return squared_norm > 1e-24 && squared_norm < 1e24;
}

/// The matrix as it is multiplied with: on the CPU itself, elsewhere in float64, since LibTorch may
/// have been told to round products in float32 to TF32.
inline at::Tensor to_multiply(const at::Tensor& matrix) {
  return matrix.is_cpu() ? matrix : matrix.to(at::kDouble);
}

/// Random columns, drawn on the CPU in float32 so that they do not depend on the device.
inline at::Tensor gaussian_columns(std::int64_t rows, std::int64_t columns,
                                   const at::Generator& generator, const at::Tensor& like) {
  return at::randn({rows, columns}, generator, at::TensorOptions(at::kFloat)).to(like.options());
}

/// Orthonormal columns that span those of `block` beside those of `basis`, which are orthonormal;
/// `basis` may be undefined.
inline at::Tensor orthonormal_beside(const at::Tensor& basis, at::Tensor block) {
  if (!basis.defined()) return std::get<0>(at::linalg_qr(block));
  for (int pass = 0; pass < 2; ++pass)
    block = std::get<0>(at::linalg_qr(block - basis.mm(basis.t().mm(block))));
  return block;
}

}  // namespace suture
