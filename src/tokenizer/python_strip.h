#pragma once

#include <string_view>

#include "tokenizer/utf8.h"

namespace suture {

/// Python's `str.isspace` of one character.
inline bool is_python_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

/// Python's `str.lstrip()`, `str.rstrip()` and `str.strip()`. `text` must be UTF-8.
inline std::string_view left_stripped(std::string_view text) {
  while (!text.empty()) {
    std::size_t next = 0;
    if (!is_python_space(next_code_point(text, next))) break;
    text.remove_prefix(next);
  }
  return text;
}

inline std::string_view right_stripped(std::string_view text) {
  while (!text.empty()) {
    const std::size_t last = previous_code_point(text, text.size());
    std::size_t at = last;
    if (!is_python_space(next_code_point(text, at))) break;
    text = text.substr(0, last);
  }
  return text;
}

inline std::string_view stripped(std::string_view text) {
  return left_stripped(right_stripped(text));
}

}  // namespace suture
