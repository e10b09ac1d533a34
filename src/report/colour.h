#pragma once

#include <cstdint>
#include <string>

#include "report/text.h"

namespace suture::report {

struct Colour {
  std::uint8_t red = 0, green = 0, blue = 0;
};

/// The colour of a share (0 to 1, clamped; NaN is 0): from dark violet over blue and green to
/// yellow, ever lighter, so that it reads in greys and by the colour-blind, too.
Colour scale_colour(double share);

/// The nearest of the 240 colours of the 256 that no theme changes: 16 to 255.
int palette_index(const Colour& colour);

/// Escape sequences that set the colour of characters and behind them. Empty below 256 colours.
std::string foreground(const Colour& colour, ColourDepth depth);
std::string background(const Colour& colour, ColourDepth depth);

/// Ends all colours.
inline constexpr const char* kPlainAgain = "\x1b[0m";

/// What a colour of text means.
enum class Ink {
  kPlain,  ///< Nothing: the terminal's own.
  kUp,     ///< Blue: told from zero, above it.
  kDown,   ///< Orange: told from zero, below it.
  kFaint,  ///< Grey: not told from zero.
};

/// `text` in a colour, where there are colours.
std::string inked(const std::string& text, Ink ink, ColourDepth depth);

}  // namespace suture::report
