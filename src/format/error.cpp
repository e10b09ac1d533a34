#include "suture/error.h"

#include <cstdint>
#include <cstdio>

namespace suture {
namespace {

constexpr std::size_t kMaxShownBytes = 200;

// Length of the valid UTF-8 sequence at `text[i]` and its code point; length 0 when invalid.
std::size_t decode_utf8(std::string_view text, std::size_t i, std::uint32_t& code) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char lead = byte(i);
  if (lead < 0x80) return code = lead, 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || i + length > text.size()) return 0;
  code = lead & (0xFFu >> (length + 1));
  for (std::size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i + k) & 0x3Fu);
  }
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < kSmallest[length] || surrogate || code > 0x10FFFF ? 0 : length;
}

// Characters that move the cursor, change direction or are invisible.
bool is_deceptive(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x61C ||
         (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF;
}

std::string escaped(std::string_view text) {
  std::string out;
  char buffer[16];
  for (std::size_t i = 0; i < text.size();) {
    std::uint32_t code = 0;
    const std::size_t length = decode_utf8(text, i, code);
    if (length == 0) {
      std::snprintf(buffer, sizeof buffer, "\\x%02X", static_cast<unsigned char>(text[i++]));
      out += buffer;
    } else if (is_deceptive(code)) {
      std::snprintf(buffer, sizeof buffer, code < 0x80 ? "\\x%02X" : "\\u{%04X}", code);
      out += buffer;
      i += length;
    } else {
      out.append(text.substr(i, length));
      i += length;
    }
  }
  return out;
}

// Moves `at` back to the start of a UTF-8 sequence, so that a cut does not split one. A sequence
// has at most three bytes after its first: what has more is not UTF-8 and is cut where it is.
std::size_t sequence_start(std::string_view text, std::size_t at) {
  std::size_t start = at;
  while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
  return at - start <= 3 ? start : at;
}

// Parts of a fault other than the tensor's name may be whole sentences, so they are not shortened.
void append(std::string& line, std::string_view separator, std::string_view text) {
  if (text.empty()) return;
  if (!line.empty()) line += separator;
  line += escaped(text);
}

}  // namespace

std::string printable(std::string_view text) {
  if (text.size() <= kMaxShownBytes) return escaped(text);
  const std::size_t head = sequence_start(text, kMaxShownBytes / 2);
  const std::size_t tail = sequence_start(text, text.size() - kMaxShownBytes / 4);
  return escaped(text.substr(0, head)) + "...(" + std::to_string(text.size()) + " bytes)..." +
         escaped(text.substr(tail));
}

std::string to_line(const Fault& fault) {
  std::string line = escaped(fault.file);
  if (!fault.tensor.empty()) append(line, ": ", "tensor '" + printable(fault.tensor) + "'");
  append(line, ": ", fault.found);
  append(line, "; expected ", fault.expected);
  append(line, "; ", fault.remedy);
  return line;
}

}  // namespace suture
