#include "analysis/rank_bounds.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace suture {
namespace {

double effective_rank(const std::vector<double>& values) {
  double sum = 0, entropy = 0;
  for (const double value : values) sum += value;
  for (const double value : values)
    if (value > 0) entropy -= value / sum * std::log(value / sum);
  return std::exp(entropy);
}

double squares(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum;
}

KnownSpectrum exactly(const std::vector<double>& values) {
  return {values, values, squares(values), 0, 0};
}

TEST(RankBounds, OfExactValuesAreThoseOfTheDefinition) {
  const std::vector<double> values{5, 3, 3, 1, 0.5, 0};
  const Interval effective = effective_rank_of(exactly(values));
  EXPECT_NEAR(effective.low, effective_rank(values), 1e-12);
  EXPECT_NEAR(effective.high, effective_rank(values), 1e-12);
  const Interval stable = stable_rank_of(exactly(values));
  EXPECT_DOUBLE_EQ(stable.low, squares(values) / 25);
  EXPECT_DOUBLE_EQ(stable.high, squares(values) / 25);
}

TEST(RankBounds, OfOneDirectionAreOneAndOfEqualOnesTheirNumber) {
  EXPECT_NEAR(effective_rank_of(exactly({2, 0, 0})).high, 1, 1e-12);
  EXPECT_NEAR(stable_rank_of(exactly({2, 0, 0})).high, 1, 1e-12);
  EXPECT_NEAR(effective_rank_of(exactly(std::vector<double>(50, 0.25))).low, 50, 1e-10);
  EXPECT_NEAR(stable_rank_of(exactly(std::vector<double>(50, 0.25))).low, 50, 1e-10);
}

TEST(RankBounds, OfZerosAreZero) {
  EXPECT_EQ(effective_rank_of(exactly({0, 0})).high, 0);
  EXPECT_EQ(stable_rank_of(exactly({0, 0})).high, 0);
  EXPECT_EQ(effective_rank_of({}).high, 0);
}

// Spectra of many kinds, of which the first values are known roughly and the others not at all.
TEST(RankBounds, HoldWhateverIsNotKnown) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int round = 0; round < 2000; ++round) {
    const auto count = static_cast<std::size_t>(2 + uniform(random) * 60);
    const double fall = 4 * uniform(random);
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i)
      values[i] = uniform(random) * std::pow(static_cast<double>(i + 1), -fall);
    std::sort(values.rbegin(), values.rend());
    const auto seen =
        static_cast<std::size_t>(1 + uniform(random) * static_cast<double>(count - 1));
    KnownSpectrum known;
    known.squares = squares(values);
    known.remaining = static_cast<std::int64_t>(count - seen);
    for (std::size_t i = 0; i < seen; ++i) {
      known.low.push_back(values[i] * (1 - 0.2 * uniform(random)));
      known.high.push_back(values[i] * (1 + 0.2 * uniform(random)));
    }
    for (std::size_t i = seen; i-- > 1;)
      known.low[i - 1] = std::max(known.low[i - 1], known.low[i]);
    for (std::size_t i = 1; i < seen; ++i)
      known.high[i] = std::min(known.high[i - 1], known.high[i]);
    known.remaining_at_most = seen < count ? values[seen] * (1 + 0.5 * uniform(random)) : 0;
    const Interval effective = effective_rank_of(known), stable = stable_rank_of(known);
    EXPECT_LE(effective.low, effective_rank(values) * (1 + 1e-12));
    EXPECT_GE(effective.high, effective_rank(values) * (1 - 1e-12));
    EXPECT_LE(stable.low, known.squares / (values[0] * values[0]) * (1 + 1e-12));
    EXPECT_GE(stable.high, known.squares / (values[0] * values[0]) * (1 - 1e-12));
  }
}

TEST(RankBounds, AreTightWhereTheRestIsFlat) {
  const std::vector<double> values(400, 1.0);
  const std::vector<double> seen(100, 1.0);
  const Interval found = effective_rank_of({seen, seen, squares(values), 300, 1.0});
  EXPECT_NEAR(found.low, 400, 1e-6);
  EXPECT_NEAR(found.high, 400, 1e-6);
}

}  // namespace
}  // namespace suture
