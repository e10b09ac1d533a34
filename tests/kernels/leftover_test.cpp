#include "kernels/leftover.h"

#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/convert.h"
#include "support/random_values.h"

namespace suture::kernels {
namespace {

using test::random_values;

// Stored weights, and their numbers.
struct Base {
  Dtype dtype;
  std::vector<double> stored;  // room for as many of any dtype
  std::vector<double> values;

  Base(Dtype type, std::size_t count) : dtype(type), stored(count), values(count) {
    narrow(dtype, random_values(count, 3).data(), stored.data(), count);
    widen(dtype, stored.data(), values.data(), count);
  }
  StoredTile tile() const { return {stored.data(), dtype}; }
  double rounded(double value) const {
    double bits = 0, back = 0;
    narrow(dtype, &value, &bits, 1);
    widen(dtype, &bits, &back, 1);
    return back;
  }
};

std::vector<double> small_values(std::size_t count, unsigned seed) {
  std::vector<double> values;
  for (const float value : random_values(count, seed)) values.push_back(0.01 * double{value});
  return values;
}

class LeftoverSquaresOf : public testing::TestWithParam<std::tuple<Dtype, std::size_t>> {};

template <typename T>
void expect_naive_sums(Dtype dtype, std::size_t count) {
  const Base base(dtype, count);
  const std::vector<double> product = small_values(count, 1), change = small_values(count, 2);
  const std::vector<T> stored_change(change.begin(), change.end());
  LeftoverSquares wanted;
  for (std::size_t i = 0; i < count; ++i) {
    const double delta = stored_change[i], rest = product[i] - delta;
    const double wrong = base.rounded(base.values[i] + product[i]) - base.values[i] - delta;
    wanted.change += rest * rest;
    wanted.merged += wrong * wrong;
  }
  const LeftoverSquares found =
      leftover_squares(product.data(), stored_change.data(), base.tile(), count);
  EXPECT_NEAR(found.change, wanted.change, 1e-12 * wanted.change);
  EXPECT_NEAR(found.merged, wanted.merged, 1e-12 * wanted.merged);
  EXPECT_EQ(leftover_squares(product.data(), stored_change.data(), {}, count).change, found.change);
  EXPECT_EQ(leftover_squares(product.data(), stored_change.data(), {}, count).merged, 0);
}

TEST_P(LeftoverSquaresOf, EqualNaiveSums) {
  const auto [dtype, count] = GetParam();
  expect_naive_sums<float>(dtype, count);
  expect_naive_sums<double>(dtype, count);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, LeftoverSquaresOf,
                         testing::Combine(testing::Values(Dtype::kBF16, Dtype::kF16, Dtype::kF32,
                                                          Dtype::kF64),
                                          testing::Values(0, 1, 17, 512, 5003)));

}  // namespace
}  // namespace suture::kernels
