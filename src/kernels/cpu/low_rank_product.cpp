#include "kernels/low_rank_product.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/vectorize.h"

namespace suture::kernels {
namespace {

constexpr std::size_t kWide = 8;        // columns at once
constexpr std::size_t kRowsAtOnce = 4;  // that share what is read and widened of `right`

using Narrow = float __attribute__((vector_size(kWide * sizeof(float))));
using Wide = double __attribute__((vector_size(kWide * sizeof(double))));

// Sums of `Rows` rows by eight columns stay in registers over all k.
template <std::size_t Rows>
SUTURE_INLINE void multiply_block(const LowRankProduct& product, const float* left,
                                  const float* right, float* out) {
  Wide sums[Rows] = {};
  for (std::size_t k = 0; k < product.rank; ++k) {
    Narrow narrow;
    std::memcpy(&narrow, right + k * product.columns, sizeof narrow);
    const Wide wide = __builtin_convertvector(narrow, Wide);
    for (std::size_t r = 0; r < Rows; ++r)
      sums[r] += wide * static_cast<double>(left[r * product.rank + k]);
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    const Wide scaled = sums[r] * product.scale;
    const Narrow rounded = __builtin_convertvector(scaled, Narrow);
    std::memcpy(out + r * product.columns, &rounded, sizeof rounded);
  }
}

SUTURE_INLINE float multiply_element(const LowRankProduct& product, const float* left,
                                     const float* right) {
  double sum = 0;
  for (std::size_t k = 0; k < product.rank; ++k)
    sum += static_cast<double>(right[k * product.columns]) * static_cast<double>(left[k]);
  return static_cast<float>(sum * product.scale);
}

// Columns [begin, end) of `Rows` rows from `row` on; `out` is where column `begin` of the first is.
template <std::size_t Rows>
SUTURE_INLINE void multiply_rows(const LowRankProduct& product, std::uint64_t row,
                                 std::size_t begin, std::size_t end, float* out) {
  const float* left = product.left + row * product.rank;
  std::size_t column = begin;
  for (; column + kWide <= end; column += kWide)
    multiply_block<Rows>(product, left, product.right + column, out + (column - begin));
  for (; column < end; ++column) {
    for (std::size_t r = 0; r < Rows; ++r)
      out[r * product.columns + (column - begin)] =
          multiply_element(product, left + r * product.rank, product.right + column);
  }
}

}  // namespace

SUTURE_VECTORIZE
void low_rank_product(const LowRankProduct& product, std::uint64_t first, std::size_t count,
                      float* out) {
  const std::size_t columns = product.columns;
  while (count > 0) {
    const std::uint64_t row = first / columns;
    const auto begin = static_cast<std::size_t>(first % columns);
    std::size_t done = kRowsAtOnce * columns;
    if (begin == 0 && count >= done) {
      multiply_rows<kRowsAtOnce>(product, row, 0, columns, out);
    } else {
      done = std::min(columns - begin, count);
      multiply_rows<1>(product, row, begin, begin + done, out);
    }
    first += done;
    count -= done;
    out += done;
  }
}

}  // namespace suture::kernels
