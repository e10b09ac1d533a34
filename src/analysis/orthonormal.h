#pragma once

#include <tuple>

#include <ATen/ATen.h>

namespace suture {

/// Orthonormal columns that span those of `block` beside those of `basis`, which are orthonormal;
/// `basis` may be undefined.
inline at::Tensor orthonormal_beside(const at::Tensor& basis, at::Tensor block) {
  if (!basis.defined()) return std::get<0>(at::linalg_qr(block));
  for (int pass = 0; pass < 2; ++pass)
    block = std::get<0>(at::linalg_qr(block - basis.mm(basis.t().mm(block))));
  return block;
}

}  // namespace suture
