#include "report/interval_bar.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

namespace suture::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Ten columns below zero, zero, ten above.
constexpr IntervalAxis kAxis{-10, 10, 21};

std::string drawn(double value, std::optional<double> low, std::optional<double> high) {
  return interval_bar(kAxis, value, low, high, {});
}

TEST(IntervalBar, IsAPointBetweenItsWhiskersAndAMarkAtZero) {
  EXPECT_EQ(drawn(5, 2, 8), "          │ ├──●──┤  ");
  EXPECT_EQ(drawn(-5, -8, -2), "  ├──●──┤ │          ");
}

TEST(IntervalBar, ShowsWhereItsWhiskersCrossZero) {
  EXPECT_EQ(drawn(2, -2, 6), "        ├─┼─●───┤    ");
  EXPECT_EQ(drawn(0, -2, 2), "        ├─●─┤        ");
  EXPECT_EQ(drawn(2, 0, 4), "          ├─●─┤      ");
}

TEST(IntervalBar, WithoutAnIntervalIsAPoint) {
  EXPECT_EQ(drawn(3, {}, {}), "          │  ●       ");
  EXPECT_EQ(drawn(3, 3, 3), "          │  ●       ");
  EXPECT_EQ(drawn(3, kNaN, 4), "          │  ●       ");
}

TEST(IntervalBar, WithoutAFiniteValueIsTheMarkAtZero) {
  EXPECT_EQ(drawn(kNaN, {}, {}), "          │          ");
  EXPECT_EQ(drawn(kInfinity, 1, 2), "          │          ");
}

TEST(IntervalBar, EndsInAnArrowBeyondTheAxis) {
  EXPECT_EQ(drawn(8, 5, 12), "          │    ├──●─→");
  EXPECT_EQ(drawn(-8, -kInfinity, -5), "←─●──┤    │          ");
  EXPECT_EQ(drawn(15, 9, 20), "          │        ├→");
  EXPECT_EQ(drawn(15, 12, 20), "          │         →");
  EXPECT_EQ(drawn(-15, {}, {}), "←         │          ");
  EXPECT_EQ(drawn(10, 8, 12), "          │       ├─●") << "a point on the axis is shown";
}

TEST(IntervalBar, HasPlainCharactersForPlainTerminals) {
  const TextStyle ascii{false, 80};
  EXPECT_EQ(interval_bar(kAxis, 5, 2, 8, ascii), "          : |--o--|  ");
  EXPECT_EQ(interval_bar(kAxis, 1, -2, 12, ascii), "        |-+o-------->");
}

TEST(IntervalBar, ColoursThePointAndItsWhiskers) {
  const TextStyle themed{true, 80, ColourDepth::k16}, ascii{false, 80, ColourDepth::kTrue};
  EXPECT_EQ(interval_bar(kAxis, 5, 2, 8, themed, Ink::kUp), "          │ \x1b[94m├──●──┤\x1b[0m  ");
  EXPECT_EQ(interval_bar(kAxis, -5, -8, -2, ascii, Ink::kDown),
            "  \x1b[38;2;214;120;20m|--o--|\x1b[0m :          ");
  EXPECT_EQ(interval_bar(kAxis, -8, -12, -5, themed, Ink::kFaint),
            "\x1b[2m←─●──┤\x1b[0m    │          ");
  EXPECT_EQ(interval_bar(kAxis, 15, 12, 20, themed, Ink::kUp),
            "          │         \x1b[94m→\x1b[0m");
  EXPECT_EQ(interval_bar(kAxis, 5, 2, 8, themed), drawn(5, 2, 8));
}

TEST(IntervalBar, IsTheSameWithAndWithoutColours) {
  for (const bool unicode : {true, false})
    for (int low = -13; low <= 13; ++low)
      for (int high = low; high <= 13; ++high) {
        const double value = (low + high) / 2.0;
        const TextStyle plain{unicode, 80}, coloured{unicode, 80, ColourDepth::kTrue};
        EXPECT_EQ(without_colours(interval_bar(kAxis, value, low, high, coloured, Ink::kFaint)),
                  interval_bar(kAxis, value, low, high, plain));
      }
}

TEST(IntervalBar, MarksNoZeroThatTheAxisDoesNotReach) {
  EXPECT_EQ(interval_bar({1, 3, 5}, 2, {}, {}, {}), "  ●  ");
}

TEST(IntervalBar, StaysOnAnAxisOfExtremeNumbers) {
  const double huge = std::numeric_limits<double>::max(), tiny = 5e-324;
  EXPECT_EQ(interval_bar({-huge, huge, 5}, 0, -huge, huge, {}), "├─●─┤");
  EXPECT_EQ(columns_of(interval_bar({0, tiny, 5}, tiny, 0, tiny, {})), 5u);
}

TEST(AxisLabels, AreTheEndsAndZero) {
  EXPECT_EQ(axis_labels(kAxis, "-10", "+10"), "-10       0       +10");
}

TEST(AxisLabels, LeaveOutWhatHasNoRoom) {
  EXPECT_EQ(axis_labels({-1, 9, 11}, "-1", "+9"), "-1       +9");
  EXPECT_EQ(axis_labels({0, 9, 11}, "0", "+9"), "0        +9");
  EXPECT_EQ(axis_labels({-1, 1, 7}, "-1.00", "+1.00"), "       ");
}

}  // namespace
}  // namespace suture::report
