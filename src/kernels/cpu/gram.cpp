#include "kernels/gram.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/vectorize.h"

namespace suture::kernels {
namespace {

// A tile of the result, which stays in registers: 8 of 16 floats.
constexpr std::size_t kWide = 16, kTall = 8;
using Vector = float __attribute__((vector_size(kWide * sizeof(float))));

constexpr std::size_t kCacheElements = std::size_t{1} << 17;  // half of a core's second cache
constexpr std::size_t kFewestRows = 32, kMostRows = 256;

// Panels of kWide columns, each row by row, the last one filled up with zeros.
SUTURE_VECTORIZE
void pack(const MatrixRows& a, std::size_t begin, std::size_t depth, float* packed) {
  for (std::size_t left = 0; left < a.columns; left += kWide) {
    const std::size_t width = std::min(kWide, a.columns - left);
    const float* from = a.first + begin * a.row_stride + left * a.column_stride;
    for (std::size_t r = 0; r < depth; ++r, from += a.row_stride, packed += kWide) {
      for (std::size_t c = 0; c < width; ++c) packed[c] = from[c * a.column_stride];
      std::fill(packed + width, packed + kWide, 0.0f);
    }
  }
}

SUTURE_INLINE void add_tile(const float* tall, const float* wide, std::size_t depth, double* sum,
                            std::size_t stride) {
  Vector products[kTall] = {};
  for (std::size_t r = 0; r < depth; ++r) {
    Vector row;
    std::memcpy(&row, wide + r * kWide, sizeof row);
    for (std::size_t i = 0; i < kTall; ++i) products[i] += tall[r * kWide + i] * row;
  }
  for (std::size_t i = 0; i < kTall; ++i)
    for (std::size_t j = 0; j < kWide; ++j)
      sum[i * stride + j] += static_cast<double>(products[i][j]);
}

SUTURE_VECTORIZE
void add_panels(const float* packed, std::size_t depth, double* sum, std::size_t side) {
  for (std::size_t column = 0; column < side; column += kWide)
    for (std::size_t row = column; row < side; row += kTall)
      add_tile(packed + row / kWide * kWide * depth + row % kWide, packed + column * depth, depth,
               sum + row * side + column, side);
}

}  // namespace

std::size_t gram_side(std::size_t columns) { return (columns + kWide - 1) / kWide * kWide; }

void add_gram(const MatrixRows& a, double* sum) {
  const std::size_t side = gram_side(a.columns);
  if (side == 0) return;
  const std::size_t depth = std::clamp(kCacheElements / side, kFewestRows, kMostRows);
  std::vector<float> packed(depth * side);
  for (std::size_t begin = 0; begin < a.rows; begin += depth) {
    const std::size_t rows = std::min(depth, a.rows - begin);
    pack(a, begin, rows, packed.data());
    add_panels(packed.data(), rows, sum, side);
  }
}

}  // namespace suture::kernels
