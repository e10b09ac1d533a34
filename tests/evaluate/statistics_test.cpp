#include "evaluate/statistics.h"

#include <cmath>

#include <gtest/gtest.h>

namespace suture::evaluation {
namespace {

// Figures of Wilson's formula, computed apart.
TEST(Statistics, WilsonIntervalsFollowTheFormula) {
  const Interval half = wilson_interval(5, 10);
  EXPECT_NEAR(half.low, 0.236593090512564, 1e-12);
  EXPECT_NEAR(half.high, 0.763406909487436, 1e-12);
  const Interval none = wilson_interval(0, 20);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.161125158052839, 1e-9);
  EXPECT_EQ(wilson_interval(20, 20).high, 1);
}

TEST(Statistics, TheErrorOfAMeanCountsOneFreedomLess) {
  EXPECT_DOUBLE_EQ(mean({1, 2, 3, 4}), 2.5);
  EXPECT_NEAR(standard_error_of_mean({1, 2, 3, 4}), std::sqrt(5.0 / 3) / 2, 1e-15);
  EXPECT_EQ(standard_error_of_mean({7}), 0);
}

TEST(Statistics, ARatioOfEqualWeightsIsAMean) {
  const RatioEstimate ratio = ratio_estimate({1, 2, 3, 4}, {2, 2, 2, 2});
  EXPECT_DOUBLE_EQ(ratio.ratio, 1.25);
  EXPECT_NEAR(ratio.standard_error, standard_error_of_mean({1, 2, 3, 4}) / 2, 1e-15);
}

TEST(Statistics, AmountsInProportionLeaveNoError) {
  EXPECT_NEAR(ratio_estimate({3, 6, 9}, {1, 2, 3}).standard_error, 0, 1e-15);
}

}  // namespace
}  // namespace suture::evaluation
