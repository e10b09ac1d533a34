#include "report/text.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

namespace suture::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(HumanCount, UsesPowersOfAThousand) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(1000), "1.0 k");
  EXPECT_EQ(human_count(494'032'768), "494.0 M");
  EXPECT_EQ(human_count(7'615'616'512), "7.6 G");
  EXPECT_EQ(human_count(~std::uint64_t{0}), "18446744.1 T");
}

// Rounding must not give a thousand of a unit.
TEST(HumanCount, CarriesIntoTheNextUnit) {
  EXPECT_EQ(human_count(999'949), "999.9 k");
  EXPECT_EQ(human_count(999'950), "1.0 M");
  EXPECT_EQ(human_count(999'999'999), "1.0 G");
}

TEST(HumanBytes, SaysBytes) {
  EXPECT_EQ(human_bytes(12), "12 B");
  EXPECT_EQ(human_bytes(988'097'536), "988.1 MB");
}

TEST(HumanNumber, HasFourDigits) {
  EXPECT_EQ(human_number(0), "0");
  EXPECT_EQ(human_number(1.0 / 3), "0.3333");
  EXPECT_EQ(human_number(-12.3456), "-12.35");
  EXPECT_EQ(human_number(1e-7), "1.000e-07");
  EXPECT_EQ(human_number(1.5e7), "1.500e+07");
}

TEST(HumanNumber, SaysWhatIsNoNumber) {
  EXPECT_EQ(human_number(kInfinity), "inf");
  EXPECT_EQ(human_number(-kInfinity), "-inf");
  EXPECT_NE(human_number(kNaN).find("nan"), std::string::npos);
}

TEST(HumanPercent, KeepsSmallSharesReadable) {
  EXPECT_EQ(human_percent(0), "0.000 %");
  EXPECT_EQ(human_percent(0.2134), "21.3 %");
  EXPECT_EQ(human_percent(1), "100.0 %");
  EXPECT_EQ(human_percent(0.00123), "0.123 %");
  EXPECT_EQ(human_percent(1e-6), "1.0e-04 %");
}

TEST(Bar, FillsItsShareInEighths) {
  const TextStyle unicode;
  EXPECT_EQ(bar(0, 4, unicode), "");
  EXPECT_EQ(bar(1, 4, unicode), "████");
  EXPECT_EQ(bar(0.5, 4, unicode), "██");
  EXPECT_EQ(bar(0.53125, 4, unicode), "██▏");
  EXPECT_EQ(bar(1.0 / 64, 8, unicode), "▏");
}

TEST(Bar, IsPlainWhereTheTerminalIs) {
  const TextStyle ascii{false, 80};
  EXPECT_EQ(bar(0.5, 4, ascii), "##");
  EXPECT_EQ(bar(1, 3, ascii), "###");
}

TEST(Bar, StaysWithinItsColumnsWhateverTheShare) {
  const TextStyle ascii{false, 80};
  EXPECT_EQ(bar(7, 3, ascii), "###");
  EXPECT_EQ(bar(-1, 3, ascii), "");
  EXPECT_EQ(bar(kNaN, 3, ascii), "");
  EXPECT_EQ(bar(kInfinity, 3, ascii), "");
}

TEST(Align, NamesLeftNumbersRightWithoutTrailingSpace) {
  EXPECT_EQ(align({{"name", "n", "bar"}, {"x", "100", ""}, {"longer", "7", "##"}}),
            "name      n  bar\n"
            "x       100\n"
            "longer    7  ##\n");
}

TEST(Align, CountsCodePointsAndNotBytes) {
  EXPECT_EQ(align({{"é", "1", "a"}, {"ab", "2", "b"}}), "é   1  a\nab  2  b\n");
}

TEST(ColumnsOf, CountsNoColours) {
  EXPECT_EQ(columns_of("\x1b[38;2;1;2;3mäb\x1b[0m"), 2u);
  EXPECT_EQ(columns_of("\x1b"), 1u);
  EXPECT_EQ(columns_of("\x1b[2K"), 4u) << "sequences that do other things are not ours";
  EXPECT_EQ(columns_of("\x1b[12"), 4u);
}

TEST(WithoutColours, LeavesEverythingElse) {
  EXPECT_EQ(without_colours("a\x1b[94mé\x1b[0mb"), "aéb");
  EXPECT_EQ(without_colours("\x1b[2K\x1b[\x1b"), "\x1b[2K\x1b[\x1b");
  EXPECT_EQ(without_colours(""), "");
}

TEST(Align, GivesColoursNoColumns) {
  EXPECT_EQ(align({{"a", "\x1b[94m1\x1b[0m", "x"}, {"bb", "22", "y"}}),
            "a    \x1b[94m1\x1b[0m  x\nbb  22  y\n");
}

TEST(Align, TakesRowsOfAnyLength) {
  EXPECT_EQ(align({}), "");
  EXPECT_EQ(align({{}}), "\n");
  EXPECT_EQ(align({{"a"}, {"b", "c", "d"}}), "a\nb  c  d\n");
}

TEST(Shortened, KeepsBeginningAndEnd) {
  EXPECT_EQ(shortened("layer=0-7,20", 12, {}), "layer=0-7,20");
  EXPECT_EQ(shortened("layer=0-7,20", 9, {}), "laye…7,20");
  EXPECT_EQ(shortened("layer=0-7,20", 9, {false, 80}), "laye..,20");
  EXPECT_EQ(shortened("äöüäöü", 5, {}), "äö…öü");
  EXPECT_EQ(shortened("äöüäöü", 1, {}), "ä");
  EXPECT_EQ(shortened("abc", 0, {}), "");
  EXPECT_EQ(shortened("\x1b[94mabc\x1b[0m", 3, {}), "\x1b[94mabc\x1b[0m");
  EXPECT_EQ(shortened("\x1b[94mabcd\x1b[0m", 3, {}), "a…d");
}

TEST(Wrapped, BreaksAtSpaces) {
  EXPECT_EQ(wrapped("a short one", 2, {}), "a short one\n");
  EXPECT_EQ(wrapped("one two three four", 2, {true, 9}), "one two\n  three\n  four\n");
  EXPECT_EQ(wrapped("äää ööö", 0, {true, 7}), "äää ööö\n");
  EXPECT_EQ(wrapped("äää ööö", 0, {true, 6}), "äää\nööö\n");
}

TEST(Wrapped, ShortensAWordThatNoLineHolds) {
  EXPECT_EQ(wrapped("a abcdefghijkl b", 2, {true, 9}), "a abc…jkl\n  b\n");
  EXPECT_EQ(wrapped("", 2, {}), "\n");
}

}  // namespace
}  // namespace suture::report
