// Products of thin matrices against the definition, element by element.

#include "kernels/low_rank_product.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace suture::kernels {
namespace {

// Numbers of many magnitudes, so that the order of a sum shows.
std::vector<float> numbers(std::size_t count, unsigned seed) {
  std::vector<float> values(count);
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = std::ldexp(static_cast<float>(seed >> 8) / 16777216.0f - 0.5f,
                       static_cast<int>(seed % 17) - 8);
  }
  return values;
}

struct Shape {
  std::size_t rows, columns, rank;
};

class LowRankProductTest : public testing::TestWithParam<Shape> {
 protected:
  LowRankProductTest()
      : left(numbers(GetParam().rows * GetParam().rank, 1)),
        right(numbers(GetParam().rank * GetParam().columns, 2)),
        product{left.data(), right.data(), GetParam().rank, GetParam().columns, 2.0 / 3} {}

  float by_definition(std::size_t element) const {
    const std::size_t i = element / product.columns, j = element % product.columns;
    double sum = 0;
    for (std::size_t k = 0; k < product.rank; ++k)
      sum += static_cast<double>(left[i * product.rank + k]) * right[k * product.columns + j];
    return static_cast<float>(sum * product.scale);
  }

  std::vector<float> left, right;
  LowRankProduct product;
};

TEST_P(LowRankProductTest, EveryElementIsByDefinition) {
  const std::size_t count = GetParam().rows * GetParam().columns;
  std::vector<float> out(count, NAN);
  low_rank_product(product, 0, count, out.data());
  for (std::size_t e = 0; e < count; ++e) ASSERT_EQ(out[e], by_definition(e)) << e;
}

TEST_P(LowRankProductTest, RangesDoNotShow) {
  const std::size_t count = GetParam().rows * GetParam().columns;
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{100}}) {
    std::vector<float> out(count + 1, -7.0f);
    for (std::size_t first = 0; first < count; first += piece)
      low_rank_product(product, first, std::min(piece, count - first), out.data() + first);
    for (std::size_t e = 0; e < count; ++e) ASSERT_EQ(out[e], by_definition(e)) << e;
    EXPECT_EQ(out[count], -7.0f) << "written past the end";
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LowRankProductTest,
                         testing::Values(Shape{1, 1, 1}, Shape{5, 8, 1}, Shape{9, 17, 3},
                                         Shape{13, 40, 32}, Shape{4, 7, 2}, Shape{50, 1, 1}),
                         [](const auto& one) {
                           return std::to_string(one.param.rows) + "x" +
                                  std::to_string(one.param.columns) + "r" +
                                  std::to_string(one.param.rank);
                         });

}  // namespace
}  // namespace suture::kernels
