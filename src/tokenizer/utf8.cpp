#include "tokenizer/utf8.h"

namespace suture {
namespace {

struct Part {
  std::size_t bytes;
  bool well_formed;
};

// The well-formed code point or the maximal ill-formed part at the front of `text`.
Part first_part(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {1, true};
  if (first < 0xC2 || first > 0xF4) return {1, false};
  const std::size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  // The second byte alone rules out overlong forms, surrogates and what lies above U+10FFFF.
  unsigned char lowest = 0x80, highest = 0xBF;
  if (first == 0xE0) lowest = 0xA0;
  if (first == 0xED) highest = 0x9F;
  if (first == 0xF0) lowest = 0x90;
  if (first == 0xF4) highest = 0x8F;
  for (std::size_t at = 1; at < bytes; ++at) {
    if (at >= text.size() || byte(at) < lowest || byte(at) > highest) return {at, false};
    lowest = 0x80;
    highest = 0xBF;
  }
  return {bytes, true};
}

}  // namespace

void append_utf8(char32_t code, std::string& text) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
    return;
  }
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 63));
    }
    put(0x80 | (code >> 6 & 63));
  }
  put(0x80 | (code & 63));
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Part part = first_part(text);
    if (!part.well_formed) return false;
    text.remove_prefix(part.bytes);
  }
  return true;
}

std::string replace_ill_formed(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Part part = first_part(bytes);
    if (part.well_formed) {
      text += bytes.substr(0, part.bytes);
    } else {
      text += "\xEF\xBF\xBD";
    }
    bytes.remove_prefix(part.bytes);
  }
  return text;
}

}  // namespace suture
