#include "tokenizer/byte_level.h"

#include <array>
#include <cstdint>

#include "tokenizer/utf8.h"

namespace suture {
namespace {

constexpr bool is_printable(std::size_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// Printable Latin-1 stands for itself; the 68 other bytes follow from U+0100 on.
constexpr std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    alphabet[byte] = is_printable(byte) ? static_cast<char32_t>(byte) : next++;
  }
  return alphabet;
}

constexpr std::array<char32_t, 256> kAlphabet = make_alphabet();
constexpr std::size_t kAlphabetEnd = 0x100 + 68;

// -1 for characters that stand for no byte.
constexpr std::array<std::int16_t, kAlphabetEnd> make_bytes() {
  std::array<std::int16_t, kAlphabetEnd> bytes{};
  for (auto& byte : bytes) byte = -1;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    bytes[kAlphabet[byte]] = static_cast<std::int16_t>(byte);
  }
  return bytes;
}

constexpr std::array<std::int16_t, kAlphabetEnd> kBytes = make_bytes();

}  // namespace

void append_byte_level(std::string_view bytes, std::string& text) {
  for (const char byte : bytes) append_utf8(kAlphabet[static_cast<unsigned char>(byte)], text);
}

std::optional<char> byte_of(char32_t character) {
  if (character >= kAlphabetEnd || kBytes[character] < 0) return std::nullopt;
  return static_cast<char>(kBytes[character]);
}

}  // namespace suture
