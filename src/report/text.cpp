#include "report/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <sstream>

namespace suture::report {
namespace {

std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string with_prefix(double value, const std::array<const char*, 5>& units) {
  std::size_t unit = 0;
  // From here on, one decimal would round to a thousand.
  while (value >= 999.95 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  return formatted(unit == 0 ? "%.0f" : "%.1f", value) + units[unit];
}

// Where what begins at `at` ends, if it is a sequence that colours text; else `at`.
std::size_t end_of_colour(const std::string& text, std::size_t at) {
  if (text.compare(at, 2, "\x1b[") != 0) return at;
  const std::size_t end = text.find_first_not_of("0123456789;", at + 2);
  return end != std::string::npos && text[end] == 'm' ? end + 1 : at;
}

// Where the code point number `count` begins.
std::size_t offset_of(const std::string& text, std::size_t count) {
  std::size_t at = 0;
  for (; at < text.size(); ++at)
    if ((text[at] & 0xC0) != 0x80 && count-- == 0) break;
  return at;
}

}  // namespace

std::string human_count(std::uint64_t count) {
  return with_prefix(static_cast<double>(count), {"", " k", " M", " G", " T"});
}

std::string human_bytes(std::uint64_t bytes) {
  return with_prefix(static_cast<double>(bytes), {" B", " kB", " MB", " GB", " TB"});
}

std::string human_number(double value) {
  const double magnitude = std::abs(value);
  const bool plain = magnitude == 0 || (magnitude >= 1e-3 && magnitude < 1e6);
  return formatted(plain ? "%.4g" : "%.3e", value);
}

std::string human_percent(double share) {
  const double percent = 100 * share;
  if (percent != 0 && std::abs(percent) < 0.01) return formatted("%.1e %%", percent);
  return formatted(std::abs(percent) < 1 ? "%.3f %%" : "%.1f %%", percent);
}

std::string bar(double share, int columns, const TextStyle& style) {
  static constexpr std::array kEighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const double clamped = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0.0;
  const auto eighths = static_cast<std::size_t>(std::lround(clamped * columns * 8));
  std::string text;
  for (std::size_t i = 0; i < eighths / 8; ++i) text += style.unicode ? "█" : "#";
  if (style.unicode) text += kEighths[eighths % 8];
  return text;
}

std::string without_colours(const std::string& text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = end_of_colour(text, at);
    if (end == at) plain += text[at++];
    at = std::max(at, end);
  }
  return plain;
}

std::size_t columns_of(const std::string& text) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = end_of_colour(text, at);
    if (end == at) columns += (text[at++] & 0xC0) != 0x80;
    at = std::max(at, end);
  }
  return columns;
}

std::string shortened(const std::string& text, std::size_t columns, const TextStyle& style) {
  const std::size_t length = columns_of(text);
  if (length <= columns) return text;
  if (text.find('\x1b') != std::string::npos)
    return shortened(without_colours(text), columns, style);
  const std::string gap = style.unicode ? "…" : "..";
  if (columns <= columns_of(gap)) return text.substr(0, offset_of(text, columns));
  const std::size_t kept = columns - columns_of(gap);
  return text.substr(0, offset_of(text, kept - kept / 2)) + gap +
         text.substr(offset_of(text, length - kept / 2));
}

std::string wrapped(const std::string& text, std::size_t indent, const TextStyle& style) {
  const auto width = static_cast<std::size_t>(std::max(style.width, 1));
  const std::string margin(std::min(indent, width / 2), ' ');
  std::string result, line, word;
  bool has_word = false;
  for (std::istringstream words(text); words >> word; has_word = true) {
    word = shortened(word, width - margin.size(), style);
    if (has_word && columns_of(line) + 1 + columns_of(word) > width) {
      result += line + "\n";
      line = margin + word;
    } else {
      line += (has_word ? " " : "") + word;
    }
  }
  return result + line + "\n";
}

std::string align(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - columns_of(row[i]), ' ');
      // Names and bars, at the ends, read from the left; numbers from the right.
      const bool left = i == 0 || i + 1 == row.size();
      line += (i > 0 ? "  " : "") + (left ? row[i] + padding : padding + row[i]);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace suture::report
