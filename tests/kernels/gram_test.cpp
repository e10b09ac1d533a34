#include "kernels/gram.h"

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "support/random_values.h"

namespace suture::kernels {
namespace {

using test::random_values;

double at(const MatrixRows& a, std::size_t row, std::size_t column) {
  return a.first[row * a.row_stride + column * a.column_stride];
}

class Gram : public testing::TestWithParam<std::tuple<std::size_t, std::size_t, bool>> {};

// Each float32 sum of n products is off by at most about n ulps of the sum of their magnitudes.
TEST_P(Gram, EqualsANaiveSumInDouble) {
  const auto [rows, columns, transposed] = GetParam();
  const std::vector<float> values = random_values(rows * columns, 1);
  const MatrixRows a{values.data(), rows, columns, transposed ? 1 : columns, transposed ? rows : 1};
  const std::size_t side = gram_side(columns);
  std::vector<double> sum(side * side, 1);  // what is there already stays in the sum
  add_gram(a, sum.data());
  for (std::size_t i = 0; i < columns; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double wanted = 1, magnitude = 1;
      for (std::size_t r = 0; r < rows; ++r) {
        wanted += at(a, r, i) * at(a, r, j);
        magnitude += std::abs(at(a, r, i) * at(a, r, j));
      }
      EXPECT_NEAR(sum[i * side + j], wanted, magnitude * 0x1p-24 * 256) << i << " " << j;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Gram,
                         testing::Combine(testing::Values(1, 7, 256, 257, 700),
                                          testing::Values(1, 8, 15, 16, 17, 100, 130),
                                          testing::Bool()));

TEST(Gram, OfSmallWholeNumbersIsExact) {
  std::vector<float> values(300 * 24);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7) - 3;
  const MatrixRows a{values.data(), 300, 24, 24, 1};
  const std::size_t side = gram_side(24);
  std::vector<double> sum(side * side);
  add_gram(a, sum.data());
  for (std::size_t i = 0; i < 24; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double wanted = 0;
      for (std::size_t r = 0; r < 300; ++r) wanted += at(a, r, i) * at(a, r, j);
      EXPECT_EQ(sum[i * side + j], wanted);
    }
  }
}

TEST(Gram, OfNothingLeavesTheSum) {
  std::vector<double> sum(16 * 16, 3);
  add_gram({nullptr, 0, 5, 5, 1}, sum.data());
  EXPECT_EQ(sum, std::vector<double>(16 * 16, 3));
  add_gram({nullptr, 4, 0, 0, 1}, nullptr);
}

}  // namespace
}  // namespace suture::kernels
