#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace suture::report {

/// How many colours there are: none, the 16 that a theme defines, the palette of 256, or any.
enum class ColourDepth { kNone, k16, k256, kTrue };

/// What the terminal can show.
struct TextStyle {
  bool unicode = true;  ///< Block characters for bars; else ASCII.
  int width = 80;       ///< Columns.
  ColourDepth colours = ColourDepth::kNone;
};

/// `123`, `4.56 k`, `494.0 M`: a count for people.
std::string human_count(std::uint64_t count);

/// `988.1 MB`: bytes for people, in powers of 1000.
std::string human_bytes(std::uint64_t bytes);

/// Four significant digits, in scientific form where that is shorter.
std::string human_number(double value);

/// `21.3 %`.
std::string human_percent(double share);

/// A bar of `share` (0 to 1) of `columns` columns, in eighths of a column where Unicode allows.
std::string bar(double share, int columns, const TextStyle& style);

/// `text` without the escape sequences that colour it.
std::string without_colours(const std::string& text);

/// The columns that `text` takes: its code points, but for escape sequences that colour it.
std::size_t columns_of(const std::string& text);

/// `text`, and where it takes more than `columns`, its beginning and end, without colours.
std::string shortened(const std::string& text, std::size_t columns, const TextStyle& style);

/// Lines of at most the terminal's width, broken at spaces; all but the first begin with `indent`
/// spaces. Ends in a newline.
std::string wrapped(const std::string& text, std::size_t indent, const TextStyle& style);

/// Columns padded to a common width: the first to the left, the others to the right. Widths are
/// those of `columns_of`.
std::string align(const std::vector<std::vector<std::string>>& rows);

}  // namespace suture::report
