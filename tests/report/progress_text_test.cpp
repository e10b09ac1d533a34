#include "report/progress_text.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "support/thrown.h"

namespace suture::report {
namespace {

constexpr std::uint64_t kMB = 1'000'000;

// What is told after `seconds` of a steady rate, ten times a second.
ProgressRate after_steady(ProgressEstimate& estimate, double seconds, std::uint64_t rate,
                          std::uint64_t total, double start = 0) {
  ProgressRate last;
  for (int i = 0; i <= std::lround(seconds * 10); ++i) {
    const auto done = static_cast<std::uint64_t>(i) * rate / 10;
    last = estimate.update({"writing", done, total}, start + 0.1 * i);
  }
  return last;
}

TEST(ProgressEstimate, OfASteadyRateIsThatRate) {
  ProgressEstimate estimate;
  const ProgressRate rate = after_steady(estimate, 10, 500 * kMB, 10'000 * kMB, 12345);
  EXPECT_NEAR(rate.bytes_per_second, 5e8, 1e5);
  ASSERT_TRUE(rate.seconds_left.has_value());
  EXPECT_NEAR(*rate.seconds_left, 10, 0.01);
}

TEST(ProgressEstimate, ForetellsNothingTooEarly) {
  ProgressEstimate estimate;
  EXPECT_FALSE(estimate.update({"writing", 0, 100}, 5).seconds_left.has_value());
  EXPECT_FALSE(estimate.update({"writing", 1, 100}, 5.5).seconds_left.has_value());
  EXPECT_TRUE(estimate.update({"writing", 2, 100}, 6.1).seconds_left.has_value());
}

TEST(ProgressEstimate, ABurstMovesItALittleAndALastingChangeWholly) {
  ProgressEstimate estimate;
  after_steady(estimate, 10, 100 * kMB, 100'000 * kMB);
  const ProgressRate burst = estimate.update({"writing", 1100 * kMB, 100'000 * kMB}, 10.1);
  EXPECT_LT(burst.bytes_per_second, 1.5e8);  // in the last tenth of a second it was a thousand MB/s
  ProgressRate slow;
  for (int i = 1; i <= 300; ++i) {
    slow = estimate.update({"writing", (1100 + static_cast<std::uint64_t>(i)) * kMB, 100'000 * kMB},
                           10.1 + 0.1 * i);
  }
  EXPECT_NEAR(slow.bytes_per_second, 1e7, 2e6);
}

TEST(ProgressEstimate, AStageBeginsAnew) {
  ProgressEstimate estimate;
  after_steady(estimate, 10, 500 * kMB, 10'000 * kMB);
  EXPECT_EQ(estimate.update({"reading", 0, 100}, 10.1).bytes_per_second, 0);
  EXPECT_NEAR(estimate.update({"reading", 50, 100}, 11.1).bytes_per_second, 50, 1e-9);
}

TEST(ProgressEstimate, OfAClockThatStandsOrBytesThatGoBackIsNoNonsense) {
  ProgressEstimate estimate;
  for (const std::uint64_t done : {5u, 7u, 3u, 200u}) {
    const ProgressRate rate = estimate.update({"writing", done, 100}, 1);
    EXPECT_EQ(rate.bytes_per_second, 0);
    EXPECT_FALSE(rate.seconds_left.has_value());
  }
}

TEST(ProgressText, CountsWhatIsNotBytes) {
  EXPECT_EQ(progress_text({"sciq", 45, 100, "requests"}, {8.25, 7.0}, 80),
            "sciq  45 %  8.25 requests/s  7 s left");
}

TEST(ProgressText, SaysWhatHowFarHowFastHowLong) {
  EXPECT_EQ(progress_text({"writing", 45, 100}, {812e6, 3.0}, 80),
            "writing  45 %  812.0 MB/s  3 s left");
  EXPECT_EQ(progress_text({"writing", 0, 100}, {}, 80), "writing   0 %");
  EXPECT_EQ(progress_text({"reading", 999, 1000}, {1e6, 125.0}, 80),
            "reading  99 %  1.0 MB/s  2 min 5 s left");
  EXPECT_EQ(progress_text({"reading", 1, 1000}, {1e6, 3840.0}, 80),
            "reading   0 %  1.0 MB/s  1 h 4 min left");
  EXPECT_EQ(progress_text({"reading", 0, 0}, {}, 80), "reading 100 %");
}

TEST(ProgressText, KeepsWithinTheColumns) {
  EXPECT_EQ(progress_text({"writing", 45, 100}, {812e6, 3.0}, 13), "writing  45 %");
  EXPECT_EQ(progress_text({"writing", 45, 100}, {812e6, 3.0}, -1), "");
}

}  // namespace
}  // namespace suture::report
