#include "report/colour.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace suture::report {
namespace {

constexpr std::array<Colour, 5> kScale{
    {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}}};

// Of middle lightness, to be read on dark and on light ground.
constexpr Colour kBlue{58, 140, 210}, kOrange{214, 120, 20}, kGrey{138, 138, 138};

std::uint8_t between(std::uint8_t from, std::uint8_t to, double share) {
  return static_cast<std::uint8_t>(std::lround(from + share * (to - from)));
}

int distance(const Colour& a, const Colour& b) {
  const int red = a.red - b.red, green = a.green - b.green, blue = a.blue - b.blue;
  return red * red + green * green + blue * blue;
}

// Of the palette: a cube of 6 x 6 x 6, then 24 greys.
Colour palette_colour(int index) {
  static constexpr std::array<std::uint8_t, 6> kLevels{0, 95, 135, 175, 215, 255};
  if (index >= 232) {
    const auto level = static_cast<std::uint8_t>(8 + 10 * (index - 232));
    return {level, level, level};
  }
  const auto cell = static_cast<std::size_t>(index - 16);
  return {kLevels[cell / 36], kLevels[cell / 6 % 6], kLevels[cell % 6]};
}

// `plane` is 38 for characters, 48 for what is behind them.
std::string sequence(const char* plane, const Colour& colour, ColourDepth depth) {
  if (depth == ColourDepth::kTrue)
    return std::string("\x1b[") + plane + ";2;" + std::to_string(colour.red) + ";" +
           std::to_string(colour.green) + ";" + std::to_string(colour.blue) + "m";
  if (depth == ColourDepth::k256)
    return std::string("\x1b[") + plane + ";5;" + std::to_string(palette_index(colour)) + "m";
  return {};
}

// Bright blue, brown, and faint, of a theme's 16.
std::string ink_sequence(Ink ink, ColourDepth depth) {
  const bool is_themed = depth == ColourDepth::k16;
  switch (ink) {
    case Ink::kUp:
      return is_themed ? "\x1b[94m" : foreground(kBlue, depth);
    case Ink::kDown:
      return is_themed ? "\x1b[33m" : foreground(kOrange, depth);
    case Ink::kFaint:
      return is_themed ? "\x1b[2m" : foreground(kGrey, depth);
    default:
      return {};
  }
}

}  // namespace

Colour scale_colour(double share) {
  const double clamped = std::isnan(share) ? 0 : std::clamp(share, 0.0, 1.0);
  const double place = clamped * static_cast<double>(kScale.size() - 1);
  const std::size_t from = std::min(static_cast<std::size_t>(place), kScale.size() - 2);
  const Colour &a = kScale[from], &b = kScale[from + 1];
  const double rest = place - static_cast<double>(from);
  return {between(a.red, b.red, rest), between(a.green, b.green, rest),
          between(a.blue, b.blue, rest)};
}

int palette_index(const Colour& colour) {
  int nearest = 16;
  for (int index = 17; index < 256; ++index)
    if (distance(colour, palette_colour(index)) < distance(colour, palette_colour(nearest)))
      nearest = index;
  return nearest;
}

std::string foreground(const Colour& colour, ColourDepth depth) {
  return sequence("38", colour, depth);
}

std::string background(const Colour& colour, ColourDepth depth) {
  return sequence("48", colour, depth);
}

std::string inked(const std::string& text, Ink ink, ColourDepth depth) {
  const std::string begin = ink_sequence(ink, depth);
  return begin.empty() || text.empty() ? text : begin + text + kPlainAgain;
}

}  // namespace suture::report
