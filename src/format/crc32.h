#pragma once

#include <cstddef>
#include <cstdint>

namespace suture::format {

/// The CRC-32 that zip archives keep of their records, of bytes that come after others whose CRC-32
/// is `before` (0: of none).
std::uint32_t crc32(const void* data, std::size_t bytes, std::uint32_t before = 0);

/// The CRC-32 of two runs of bytes in a row, from that of each and the length of the second. So
/// pieces can be summed on several threads.
std::uint32_t joined_crc32(std::uint32_t first, std::uint32_t second, std::uint64_t second_bytes);

}  // namespace suture::format
