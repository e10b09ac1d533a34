#include "evaluate/python_text.h"

#include <charconv>
#include <cmath>
#include <utf8proc.h>

namespace suture::evaluation {
namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

bool is_space(utf8proc_int32_t point) {
  if (point == ' ' || (point >= 0x09 && point <= 0x0D) || (point >= 0x1C && point <= 0x1F))
    return true;
  return point == 0x85 || point == 0xA0 || point == 0x1680 ||
         (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 ||
         point == 0x202F || point == 0x205F || point == 0x3000;
}

struct CodePoint {
  utf8proc_int32_t value = -1;
  std::size_t bytes = 1;
};

// Bytes that are no UTF-8 count as one character each.
CodePoint code_point_at(std::string_view text, std::size_t at) {
  utf8proc_int32_t value = -1;
  const auto bytes = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at),
                                      static_cast<utf8proc_ssize_t>(text.size() - at), &value);
  return bytes <= 0 ? CodePoint{} : CodePoint{value, static_cast<std::size_t>(bytes)};
}

template <typename Drop>
std::string without(std::string_view text, Drop drop) {
  std::string kept;
  for (const char byte : text)
    if (!drop(byte)) kept += byte;
  return kept;
}

}  // namespace

std::size_t code_points(std::string_view text) {
  std::size_t count = 0;
  for (const char byte : text) count += is_continuation(byte) ? 0 : 1;
  return count;
}

std::string_view right_stripped(std::string_view text) {
  while (!text.empty()) {
    std::size_t at = text.size() - 1;
    while (at > 0 && is_continuation(text[at])) --at;
    if (!is_space(code_point_at(text, at).value)) break;
    text = text.substr(0, at);
  }
  return text;
}

std::string_view stripped(std::string_view text) {
  text = right_stripped(text);
  while (!text.empty()) {
    const CodePoint first = code_point_at(text, 0);
    if (!is_space(first.value)) break;
    text.remove_prefix(first.bytes);
  }
  return text;
}

std::size_t count_words(std::string_view text) {
  std::size_t words = 1;
  bool in_space = false;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    const bool space = is_space(point.value);
    if (space && !in_space) ++words;
    in_space = space;
    at += point.bytes;
  }
  return words;
}

std::string lower(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    if (point.value < 0) {
      result += text[at];
    } else {
      utf8proc_uint8_t bytes[4];
      const auto length = utf8proc_encode_char(utf8proc_tolower(point.value), bytes);
      result.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
    }
    at += point.bytes;
  }
  return result;
}

std::string without_ascii_punctuation(std::string_view text) {
  return without(text, [](char c) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  });
}

std::string without_ascii_digits(std::string_view text) {
  return without(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::string float_text(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const double size = std::fabs(value);
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  char digits[64];
  const auto end = std::to_chars(digits, digits + sizeof digits, value,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(digits, end.ptr);
  if (fixed && text.find('.') == std::string::npos) text += ".0";
  return text;
}

}  // namespace suture::evaluation
