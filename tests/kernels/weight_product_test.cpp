#include "kernels/weight_product.h"

#include <cmath>
#include <cstdint>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/convert.h"
#include "support/random_values.h"

namespace suture::kernels {
namespace {

using test::random_values;

std::vector<std::uint8_t> stored(Dtype dtype, const std::vector<float>& values) {
  std::vector<std::uint8_t> bytes(values.size() * static_cast<std::size_t>(bytes_of(dtype)));
  narrow(dtype, values.data(), bytes.data(), values.size());
  return bytes;
}

std::vector<double> widened(Dtype dtype, const std::vector<std::uint8_t>& bytes) {
  std::vector<double> values(bytes.size() / static_cast<std::size_t>(bytes_of(dtype)));
  widen(dtype, bytes.data(), values.data(), values.size());
  return values;
}

class WeightProduct : public testing::TestWithParam<std::tuple<Dtype, std::size_t, std::size_t>> {};

// A float32 sum of n products is off by at most about n ulps of the sum of their magnitudes.
TEST_P(WeightProduct, EqualsANaiveSumInDouble) {
  const auto [dtype, columns, inputs] = GetParam();
  constexpr std::size_t kRows = 37;
  const auto weight = stored(dtype, random_values(kRows * columns, 1));
  const auto bias = stored(dtype, random_values(kRows, 2));
  const std::vector<float> x = random_values(inputs * columns, 3);
  std::vector<float> out(inputs * kRows, NAN);
  const LinearLayer layer{dtype, weight.data(), bias.data(), kRows, columns};
  weight_product(layer, x.data(), inputs, 0, kRows, out.data(), kRows);

  const auto w = widened(dtype, weight), b = widened(dtype, bias);
  for (std::size_t i = 0; i < inputs; ++i) {
    for (std::size_t r = 0; r < kRows; ++r) {
      double sum = b[r], magnitude = std::abs(b[r]);
      for (std::size_t c = 0; c < columns; ++c) {
        const double product = w[r * columns + c] * static_cast<double>(x[i * columns + c]);
        sum += product;
        magnitude += std::abs(product);
      }
      const double bound = magnitude * 0x1p-23 * (4 + static_cast<double>(columns) / 16);
      EXPECT_NEAR(out[i * kRows + r], sum, bound) << "input " << i << " row " << r;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, WeightProduct,
                         testing::Combine(testing::Values(Dtype::kBF16, Dtype::kF16, Dtype::kF32),
                                          testing::Values(1, 15, 16, 17, 100, 896),
                                          testing::Values(1, 2, 3, 4, 5, 7, 8)));

TEST(WeightProduct, DoesNotDependOnTheRangeOfRows) {
  constexpr std::size_t kRows = 101, kColumns = 50, kInputs = 3;
  const auto weight = stored(Dtype::kBF16, random_values(kRows * kColumns, 4));
  const std::vector<float> x = random_values(kInputs * kColumns, 5);
  const LinearLayer layer{Dtype::kBF16, weight.data(), nullptr, kRows, kColumns};
  std::vector<float> whole(kInputs * kRows, NAN), parts(kInputs * kRows, NAN);
  weight_product(layer, x.data(), kInputs, 0, kRows, whole.data(), kRows);
  for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 1}, {1, 64}, {64, kRows}})
    weight_product(layer, x.data(), kInputs, begin, end, parts.data(), kRows);
  EXPECT_EQ(parts, whole);
}

TEST(WeightProduct, OfOneInputIsThatOfManyInputs) {
  constexpr std::size_t kRows = 20, kColumns = 70;
  const auto weight = stored(Dtype::kF16, random_values(kRows * kColumns, 6));
  const std::vector<float> x = random_values(kMaxProductInputs * kColumns, 7);
  const LinearLayer layer{Dtype::kF16, weight.data(), nullptr, kRows, kColumns};
  std::vector<float> together(kMaxProductInputs * kRows), alone(kRows);
  weight_product(layer, x.data(), kMaxProductInputs, 0, kRows, together.data(), kRows);
  for (std::size_t i = 0; i < kMaxProductInputs; ++i) {
    weight_product(layer, x.data() + i * kColumns, 1, 0, kRows, alone.data(), kRows);
    for (std::size_t r = 0; r < kRows; ++r) EXPECT_EQ(alone[r], together[i * kRows + r]);
  }
}

}  // namespace
}  // namespace suture::kernels
