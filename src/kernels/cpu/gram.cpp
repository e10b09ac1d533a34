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
constexpr std::size_t kColumnsAtOnce = 512;  // of one sum, whose rows of x stay in that cache

// Panels of kWide columns, each row by row, the last one filled up with zeros. Memory is read in
// the order in which it lies.
void pack(const MatrixRows& a, std::size_t begin, std::size_t depth, float* packed) {
  const float* first = a.first + begin * a.row_stride;
  const auto place = [&](std::size_t row, std::size_t column) {
    return packed + column / kWide * kWide * depth + row * kWide + column % kWide;
  };
  const std::size_t whole = a.column_stride == 1 ? a.columns / kWide * kWide : 0;
  for (std::size_t r = 0; r < depth; ++r)
    for (std::size_t c = 0; c < whole; c += kWide)
      std::memcpy(place(r, c), first + r * a.row_stride + c, kWide * sizeof(float));
  for (std::size_t c = whole; c < gram_side(a.columns); ++c) {
    float* to = place(0, c);
    for (std::size_t r = 0; r < depth; ++r)
      to[r * kWide] = c < a.columns ? first[c * a.column_stride + r * a.row_stride] : 0;
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

std::size_t rows_at_once(std::size_t side) {
  return std::clamp(kCacheElements / std::max<std::size_t>(side, 1), kFewestRows, kMostRows);
}

// `Tall` sums of products, each with kWide columns of `x`, whose rows are `width` apart. In step t
// sum i takes factor[i * step_of_sum + t * step_of_product].
template <std::size_t Tall>
SUTURE_INLINE void add_products(const float* factor, std::size_t step_of_sum,
                                std::size_t step_of_product, const float* x, std::size_t width,
                                std::size_t count, Vector* sums) {
  for (std::size_t t = 0; t < count; ++t) {
    Vector row;
    std::memcpy(&row, x + t * width, sizeof row);
    for (std::size_t i = 0; i < Tall; ++i)
      sums[i] += factor[i * step_of_sum + t * step_of_product] * row;
  }
}

// Adds to kWide columns of `Tall` rows.
template <std::size_t Tall>
SUTURE_INLINE void add_to(float* rows, std::size_t width, const Vector* sums) {
  for (std::size_t i = 0; i < Tall; ++i) {
    Vector sum;
    std::memcpy(&sum, rows + i * width, sizeof sum);
    sum += sums[i];
    std::memcpy(rows + i * width, &sum, sizeof sum);
  }
}

// Of `Tall` rows of A the image: kWide columns of it, over columns [begin, end) of A.
template <std::size_t Tall>
SUTURE_INLINE void add_image(const float* packed, std::size_t depth, const float* x,
                             std::size_t width, std::size_t begin, std::size_t end, float* image) {
  Vector sums[Tall] = {};
  for (std::size_t left = begin; left < end; left += kWide)
    add_products<Tall>(packed + left * depth, kWide, 1, x + left * width, width,
                       std::min(kWide, end - left), sums);
  add_to<Tall>(image, width, sums);
}

// Of `Tall` columns of A what they give with the image: kWide columns of it.
template <std::size_t Tall>
SUTURE_INLINE void add_back(const float* packed, std::size_t depth, const float* image,
                            std::size_t width, float* product) {
  Vector sums[Tall] = {};
  add_products<Tall>(packed, 1, kWide, image, width, depth, sums);
  add_to<Tall>(product, width, sums);
}

SUTURE_VECTORIZE
void add_images(const float* packed, std::size_t depth, std::size_t columns, const float* x,
                std::size_t width, float* image) {
  for (std::size_t begin = 0; begin < columns; begin += kColumnsAtOnce) {
    const std::size_t end = std::min(begin + kColumnsAtOnce, columns);
    for (std::size_t w = 0; w < width; w += kWide) {
      std::size_t row = 0;
      for (; row + kTall <= depth; row += kTall)
        add_image<kTall>(packed + row * kWide, depth, x + w, width, begin, end,
                         image + row * width + w);
      for (; row < depth; ++row)
        add_image<1>(packed + row * kWide, depth, x + w, width, begin, end,
                     image + row * width + w);
    }
  }
}

SUTURE_VECTORIZE
void add_backs(const float* packed, std::size_t depth, std::size_t columns, const float* image,
               std::size_t width, float* product) {
  std::size_t column = 0;
  const auto at = [&](std::size_t c) { return packed + c / kWide * kWide * depth + c % kWide; };
  for (; column + kTall <= columns; column += kTall)
    for (std::size_t w = 0; w < width; w += kWide)
      add_back<kTall>(at(column), depth, image + w, width, product + column * width + w);
  for (; column < columns; ++column)
    for (std::size_t w = 0; w < width; w += kWide)
      add_back<1>(at(column), depth, image + w, width, product + column * width + w);
}

}  // namespace

std::size_t gram_side(std::size_t columns) { return (columns + kWide - 1) / kWide * kWide; }

void add_gram(const MatrixRows& a, double* sum) {
  const std::size_t side = gram_side(a.columns);
  if (side == 0) return;
  const std::size_t depth = rows_at_once(side);
  std::vector<float> packed(depth * side);
  for (std::size_t begin = 0; begin < a.rows; begin += depth) {
    const std::size_t rows = std::min(depth, a.rows - begin);
    pack(a, begin, rows, packed.data());
    add_panels(packed.data(), rows, sum, side);
  }
}

void symmetric_of_gram(const double* sum, std::size_t columns, float* out) {
  const std::size_t side = gram_side(columns);
  // Tile by tile: what is written across the rows stays in the cache until its lines are full.
  for (std::size_t top = 0; top < columns; top += kWide) {
    for (std::size_t left = 0; left <= top; left += kWide) {
      for (std::size_t i = top; i < std::min(top + kWide, columns); ++i) {
        for (std::size_t j = left; j < std::min(left + kWide, i + 1); ++j)
          out[i * columns + j] = out[j * columns + i] = static_cast<float>(sum[i * side + j]);
      }
    }
  }
}

void multiply_by_gram(const MatrixRows& a, const float* x, std::size_t width, float* image,
                      float* product) {
  std::fill_n(image, a.rows * width, 0.0f);
  if (product != nullptr) std::fill_n(product, a.columns * width, 0.0f);
  const std::size_t side = gram_side(a.columns), depth = rows_at_once(side);
  std::vector<float> packed(depth * side);
  for (std::size_t begin = 0; begin < a.rows; begin += depth) {
    const std::size_t rows = std::min(depth, a.rows - begin);
    float* of_rows = image + begin * width;
    pack(a, begin, rows, packed.data());
    add_images(packed.data(), rows, a.columns, x, width, of_rows);
    if (product != nullptr) add_backs(packed.data(), rows, a.columns, of_rows, width, product);
  }
}

}  // namespace suture::kernels
