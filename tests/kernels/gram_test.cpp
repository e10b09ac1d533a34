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

INSTANTIATE_TEST_SUITE_P(InPieces, Gram,
                         testing::Combine(testing::Values(70), testing::Values(1100),
                                          testing::Bool()));

INSTANTIATE_TEST_SUITE_P(Shapes, Gram,
                         testing::Combine(testing::Values(1, 7, 256, 257, 700),
                                          testing::Values(1, 8, 15, 16, 17, 100, 130),
                                          testing::Bool()));

TEST_P(Gram, HasBothHalvesOnceItIsWhole) {
  const auto [rows, columns, transposed] = GetParam();
  const std::vector<float> values = random_values(rows * columns, 1);
  const MatrixRows a{values.data(), rows, columns, transposed ? 1 : columns, transposed ? rows : 1};
  const std::size_t side = gram_side(columns);
  std::vector<double> sum(side * side);
  add_gram(a, sum.data());
  std::vector<float> whole(columns * columns);
  symmetric_of_gram(sum.data(), columns, whole.data());
  for (std::size_t i = 0; i < columns; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      EXPECT_EQ(whole[i * columns + j], static_cast<float>(sum[i * side + j]));
      EXPECT_EQ(whole[j * columns + i], whole[i * columns + j]);
    }
  }
}

// Of a naive product, each entry with the bound on the rounding of its sum.
struct Entries {
  std::vector<double> values, bounds;
};

Entries naive_product(std::size_t rows, std::size_t depth, std::size_t columns, const auto& left,
                      const auto& right) {
  Entries product;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      double sum = 0, magnitude = 0;
      for (std::size_t k = 0; k < depth; ++k) {
        sum += left(i, k) * right(k, j);
        magnitude += std::abs(left(i, k) * right(k, j));
      }
      product.values.push_back(sum);
      product.bounds.push_back(magnitude * 0x1p-24 * static_cast<double>(depth + 1));
    }
  }
  return product;
}

void expect_near(const std::vector<float>& found, const Entries& wanted) {
  ASSERT_EQ(found.size(), wanted.values.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], wanted.values[i], wanted.bounds[i]) << i;
}

TEST_P(Gram, MultipliesLikeNaiveProducts) {
  const auto [rows, columns, transposed] = GetParam();
  const std::vector<float> values = random_values(rows * columns, 1);
  const MatrixRows a{values.data(), rows, columns, transposed ? 1 : columns, transposed ? rows : 1};
  constexpr std::size_t kWidth = 48;
  const std::vector<float> x = random_values(columns * kWidth, 2);
  std::vector<float> image(rows * kWidth, 7), product(columns * kWidth, 7), alone(rows * kWidth, 7);
  multiply_by_gram(a, x.data(), kWidth, image.data(), product.data());
  expect_near(image,
              naive_product(
                  rows, columns, kWidth, [&](std::size_t i, std::size_t k) { return at(a, i, k); },
                  [&](std::size_t k, std::size_t j) { return double{x[k * kWidth + j]}; }));
  expect_near(product,
              naive_product(
                  columns, rows, kWidth, [&](std::size_t i, std::size_t k) { return at(a, k, i); },
                  [&](std::size_t k, std::size_t j) { return double{image[k * kWidth + j]}; }));
  multiply_by_gram(a, x.data(), kWidth, alone.data(), nullptr);
  EXPECT_EQ(alone, image);
}

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
