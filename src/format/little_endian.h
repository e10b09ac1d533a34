#pragma once

#include <cstdint>
#include <string>

namespace suture::format {

/// Appends the lowest `bytes` bytes of `value`, lowest first.
inline void append_little_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

}  // namespace suture::format
