#pragma once

#include <cstddef>
#include <cstdint>

namespace suture::kernels {

/// A matrix of low rank, `scale · left · right`, where `left` is rows × `rank` and `right` is
/// `rank` × `columns`, both dense and row by row.
struct LowRankProduct {
  const float* left = nullptr;
  const float* right = nullptr;
  std::size_t rank = 0, columns = 0;
  double scale = 1;
};

/// Writes elements [first, first + count) of the matrix, row by row: element (i, j) is scale ·
/// Σ_k left[i][k] · right[k][j]. Products of two floats are exact in float64; they are added there
/// in the order of k, scaled, and rounded once to float32, so that an element depends on neither
/// the range that is asked for nor the processor.
void low_rank_product(const LowRankProduct& product, std::uint64_t first, std::size_t count,
                      float* out);

}  // namespace suture::kernels
