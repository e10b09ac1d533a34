#include "kernels/statistics.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace suture::kernels {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <typename T>
std::vector<T> strewn_values(std::size_t count, std::uint64_t seed, bool odd = true) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> values;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t kind = random() % 20;
    const double value = normal(random) * std::exp2(static_cast<int>(random() % 60) - 50);
    values.push_back(static_cast<T>(!odd        ? value
                                    : kind == 0 ? 0
                                    : kind == 1 ? -0.0
                                    : kind == 2 ? kNaN
                                    : kind == 3 ? kInfinity
                                    : kind == 4 ? -kInfinity
                                                : value));
  }
  return values;
}

template <typename T>
ValueStatistics naive_values(const std::vector<T>& values) {
  ValueStatistics result;
  for (const T raw : values) {
    const auto value = static_cast<double>(raw);
    ++result.count;
    if (!std::isfinite(value)) {
      ++result.non_finite;
      continue;
    }
    result.sum_of_squares += value * value;
    result.max_magnitude = std::max(result.max_magnitude, std::abs(value));
    if (value == 0) continue;
    ++result.non_zero;
    const int bin = std::ilogb(value) - kFirstExponent;
    ++result.histogram[static_cast<std::size_t>(
        std::min(std::max(bin, 0), static_cast<int>(kHistogramBins) - 1))];
  }
  return result;
}

template <typename T>
PairStatistics naive_pair(const std::vector<T>& a, const std::vector<T>& b) {
  PairStatistics result;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) continue;
    result.dot += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    if (a[i] == 0 || b[i] == 0) continue;
    ++result.both_non_zero;
    result.same_sign += (a[i] > 0) == (b[i] > 0);
    result.first_positive += a[i] > 0;
    result.second_positive += b[i] > 0;
  }
  return result;
}

void expect_equal(const ValueStatistics& found, const ValueStatistics& expected) {
  EXPECT_EQ(found.count, expected.count);
  EXPECT_EQ(found.non_zero, expected.non_zero);
  EXPECT_EQ(found.non_finite, expected.non_finite);
  EXPECT_EQ(found.max_magnitude, expected.max_magnitude);
  EXPECT_EQ(found.histogram, expected.histogram);
  EXPECT_NEAR(found.sum_of_squares, expected.sum_of_squares, 1e-13 * expected.sum_of_squares);
}

template <typename T>
StoredTile tile_of(const T* values) {
  return {values, std::is_same_v<T, double> ? Dtype::kF64 : Dtype::kF32};
}

template <typename T>
class StatisticsOf : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(StatisticsOf, Precisions);

TYPED_TEST(StatisticsOf, ValuesEqualTheNaiveReference) {
  for (const std::size_t count : {0, 1, 2, 15, 16, 17, 63, 1000, 65535, 65536}) {
    for (const bool odd : {false, true}) {
      const auto values = strewn_values<TypeParam>(count, count + 1, odd);
      SCOPED_TRACE(count);
      const ValueStatistics expected = naive_values(values);
      expect_equal(measure_values(values.data(), count), expected);
      EXPECT_EQ(sum_of_squares(tile_of(values.data()), count),
                measure_values(values.data(), count).sum_of_squares);
    }
  }
}

TYPED_TEST(StatisticsOf, PairsEqualTheNaiveReference) {
  for (const std::size_t count : {0, 1, 2, 15, 16, 17, 63, 1000, 65536}) {
    SCOPED_TRACE(count);
    const auto a = strewn_values<TypeParam>(count, 5), b = strewn_values<TypeParam>(count, 6);
    const PairStatistics found = measure_pair(a.data(), b.data(), count);
    const PairStatistics expected = naive_pair(a, b);
    const double scale = std::sqrt(naive_values(a).sum_of_squares * naive_values(b).sum_of_squares);
    EXPECT_NEAR(found.dot, expected.dot, 1e-13 * scale);
    EXPECT_EQ(found.both_non_zero, expected.both_non_zero);
    EXPECT_EQ(found.same_sign, expected.same_sign);
    EXPECT_EQ(found.first_positive, expected.first_positive);
    EXPECT_EQ(found.second_positive, expected.second_positive);
  }
}

// The same values wherever they lie in memory, and whatever lies behind them.
TYPED_TEST(StatisticsOf, SumsDoNotDependOnAlignment) {
  const auto values = strewn_values<TypeParam>(999, 8, false);
  const double expected = sum_of_squares(tile_of(values.data()), values.size());
  for (std::size_t shift = 1; shift < 17; ++shift) {
    std::vector<TypeParam> moved(shift, TypeParam{3});
    moved.insert(moved.end(), values.begin(), values.end());
    moved.resize(moved.size() + 40, TypeParam{5});
    EXPECT_EQ(sum_of_squares(tile_of(moved.data() + shift), values.size()), expected) << shift;
    EXPECT_EQ(measure_pair(moved.data() + shift, values.data(), values.size()).dot, expected);
  }
}

TYPED_TEST(StatisticsOf, CountsMagnitudesByExponent) {
  const std::vector<std::pair<double, std::size_t>> cases{
      {1, 40},
      {1.999, 40},
      {-2, 41},
      {0.5, 39},
      {0x1p-40, 0},
      {0x1.8p-39, 1},
      {0x1p-41, 0},
      {0x1p-60, 0},
      {0x1p7, 47},
      {0x1.fp6, 46},
      {0x1p8, 47},
      {1e30, 47},
      {std::numeric_limits<TypeParam>::denorm_min(), 0}};
  for (const auto& [value, bin] : cases) {
    const auto stored = static_cast<TypeParam>(value);
    const ValueStatistics found = measure_values(&stored, 1);
    for (std::size_t i = 0; i < kHistogramBins; ++i)
      EXPECT_EQ(found.histogram[i], i == bin ? 1u : 0u) << value << " in bin " << i;
  }
}

TYPED_TEST(StatisticsOf, NeitherZerosNorNonFiniteValuesReachTheHistogram) {
  const std::vector<TypeParam> values{TypeParam{0}, -TypeParam{0}, static_cast<TypeParam>(kNaN),
                                      static_cast<TypeParam>(kInfinity),
                                      static_cast<TypeParam>(-kInfinity)};
  const ValueStatistics found = measure_values(values.data(), values.size());
  EXPECT_EQ(found.count, 5u);
  EXPECT_EQ(found.non_finite, 3u);
  EXPECT_EQ(found.non_zero, 0u);
  EXPECT_EQ(found.max_magnitude, 0);
  EXPECT_EQ(found.sum_of_squares, 0);
  EXPECT_EQ(found.histogram, (std::array<std::uint64_t, kHistogramBins>{}));
}

TYPED_TEST(StatisticsOf, SubnormalValuesAreNotZero) {
  const TypeParam values[] = {std::numeric_limits<TypeParam>::denorm_min(),
                              -std::numeric_limits<TypeParam>::denorm_min()};
  EXPECT_EQ(measure_values(values, 2).non_zero, 2u);
  EXPECT_EQ(measure_pair(values, values + 1, 1).both_non_zero, 1u);
}

TEST(ValueStatistics, AppendsTileByTile) {
  const auto values = strewn_values<float>(3000, 9);
  ValueStatistics joined;
  for (std::size_t first = 0; first < values.size(); first += 700) {
    joined.append(
        measure_values(values.data() + first, std::min<std::size_t>(700, values.size() - first)));
  }
  expect_equal(joined, naive_values(values));
}

TEST(ValueStatistics, AppendingNothingChangesNothing) {
  const auto values = strewn_values<float>(100, 10);
  ValueStatistics found = measure_values(values.data(), values.size());
  const ValueStatistics before = found;
  found.append({});
  EXPECT_EQ(std::memcmp(&found, &before, sizeof found), 0);
}

TEST(PairStatistics, AppendsTileByTile) {
  const auto a = strewn_values<double>(2000, 11), b = strewn_values<double>(2000, 12);
  PairStatistics joined;
  for (std::size_t first = 0; first < a.size(); first += 600)
    joined.append(measure_pair(a.data() + first, b.data() + first,
                               std::min<std::size_t>(600, a.size() - first)));
  const PairStatistics expected = naive_pair(a, b);
  EXPECT_NEAR(joined.dot, expected.dot, 1e-6 * std::abs(expected.dot));
  EXPECT_EQ(joined.both_non_zero, expected.both_non_zero);
  EXPECT_EQ(joined.same_sign, expected.same_sign);
  EXPECT_EQ(joined.first_positive, expected.first_positive);
  EXPECT_EQ(joined.second_positive, expected.second_positive);
}

}  // namespace
}  // namespace suture::kernels
