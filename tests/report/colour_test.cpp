#include "report/colour.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

namespace suture::report {
namespace {

std::string text_of(const Colour& colour) {
  return std::to_string(colour.red) + "," + std::to_string(colour.green) + "," +
         std::to_string(colour.blue);
}

// As the eye weighs them.
double lightness(const Colour& colour) {
  return 0.2126 * colour.red + 0.7152 * colour.green + 0.0722 * colour.blue;
}

TEST(ScaleColour, GoesFromVioletToYellow) {
  EXPECT_EQ(text_of(scale_colour(0)), "68,1,84");
  EXPECT_EQ(text_of(scale_colour(0.5)), "33,145,140");
  EXPECT_EQ(text_of(scale_colour(0.625)), "64,173,119");
  EXPECT_EQ(text_of(scale_colour(1)), "253,231,37");
}

TEST(ScaleColour, IsEverLighter) {
  for (int i = 0; i < 100; ++i)
    EXPECT_LT(lightness(scale_colour(i / 100.0)), lightness(scale_colour((i + 1) / 100.0))) << i;
}

TEST(ScaleColour, TakesAnyNumber) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(text_of(scale_colour(-1)), "68,1,84");
  EXPECT_EQ(text_of(scale_colour(kInfinity)), "253,231,37");
  EXPECT_EQ(text_of(scale_colour(std::numeric_limits<double>::quiet_NaN())), "68,1,84");
}

TEST(PaletteIndex, IsTheNearestOfCubeAndGreys) {
  EXPECT_EQ(palette_index({0, 0, 0}), 16);
  EXPECT_EQ(palette_index({255, 255, 255}), 231);
  EXPECT_EQ(palette_index({95, 135, 175}), 67);
  EXPECT_EQ(palette_index({250, 5, 5}), 196);
  EXPECT_EQ(palette_index({8, 8, 8}), 232);
  EXPECT_EQ(palette_index({139, 137, 138}), 245);
}

TEST(Foreground, AndBackgroundAreSequencesWhereThereAreColours) {
  const Colour colour{1, 20, 255};
  EXPECT_EQ(foreground(colour, ColourDepth::kTrue), "\x1b[38;2;1;20;255m");
  EXPECT_EQ(background(colour, ColourDepth::kTrue), "\x1b[48;2;1;20;255m");
  EXPECT_EQ(foreground(colour, ColourDepth::k256), "\x1b[38;5;21m");
  EXPECT_EQ(background(colour, ColourDepth::k256), "\x1b[48;5;21m");
  EXPECT_EQ(foreground(colour, ColourDepth::k16), "");
  EXPECT_EQ(background(colour, ColourDepth::kNone), "");
}

TEST(Inked, IsTheTextInItsColour) {
  EXPECT_EQ(inked("x", Ink::kUp, ColourDepth::kTrue), "\x1b[38;2;58;140;210mx\x1b[0m");
  EXPECT_EQ(inked("x", Ink::kDown, ColourDepth::k256), "\x1b[38;5;172mx\x1b[0m");
  EXPECT_EQ(inked("x", Ink::kUp, ColourDepth::k16), "\x1b[94mx\x1b[0m");
  EXPECT_EQ(inked("x", Ink::kDown, ColourDepth::k16), "\x1b[33mx\x1b[0m");
  EXPECT_EQ(inked("x", Ink::kFaint, ColourDepth::k16), "\x1b[2mx\x1b[0m");
}

TEST(Inked, IsTheTextAloneWithoutColours) {
  EXPECT_EQ(inked("x", Ink::kUp, ColourDepth::kNone), "x");
  EXPECT_EQ(inked("x", Ink::kPlain, ColourDepth::kTrue), "x");
  EXPECT_EQ(inked("", Ink::kUp, ColourDepth::kTrue), "");
}

}  // namespace
}  // namespace suture::report
