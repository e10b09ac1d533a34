#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace suture {

/// The code point at `at`, which is moved behind it. `text` must be UTF-8.
inline char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t offset) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[at + offset]));
  };
  const char32_t first = byte(0);
  std::size_t bytes = 1;
  char32_t code = first;
  if (first >= 0xF0) {
    code = (first & 7) << 18 | (byte(1) & 63) << 12 | (byte(2) & 63) << 6 | (byte(3) & 63);
    bytes = 4;
  } else if (first >= 0xE0) {
    code = (first & 15) << 12 | (byte(1) & 63) << 6 | (byte(2) & 63);
    bytes = 3;
  } else if (first >= 0xC0) {
    code = (first & 31) << 6 | (byte(1) & 63);
    bytes = 2;
  }
  at += bytes;
  return code;
}

/// Where the code point that ends at `end` begins. `text` must be UTF-8 and `end` over 0.
inline std::size_t previous_code_point(std::string_view text, std::size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

void append_utf8(char32_t code, std::string& text);

/// True when `text` is UTF-8: no surrogates, no overlong forms, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

/// `bytes` with U+FFFD for each maximal part that begins a code point and does not end it, and for
/// each byte that begins none: as Python's `bytes.decode("utf-8", "replace")`.
std::string replace_ill_formed(std::string_view bytes);

}  // namespace suture
