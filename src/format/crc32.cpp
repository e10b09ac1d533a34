#include "format/crc32.h"

#include <array>
#include <bit>
#include <cstring>

namespace suture::format {
namespace {

static_assert(std::endian::native == std::endian::little);

// Polynomials over one bit, the coefficient of x^0 highest. This is the divisor without its x^32.
constexpr std::uint32_t kDivisor = 0xEDB88320;
constexpr std::uint32_t kOne = 0x80000000;
constexpr std::size_t kSlices = 16;  // Bytes that are looked up at once.

constexpr std::uint32_t times_x(std::uint32_t a) { return (a >> 1) ^ (a & 1 ? kDivisor : 0); }

// Row `k` has what each byte comes to when `k` bytes follow it.
using Tables = std::array<std::array<std::uint32_t, 256>, kSlices>;

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) remainder = times_x(remainder);
    tables[0][byte] = remainder;
  }
  for (std::size_t row = 1; row < kSlices; ++row) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[row - 1][byte];
      tables[row][byte] = (before >> 8) ^ tables[0][before & 0xFF];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t look_up(std::uint32_t word, std::size_t row) {
  return kTables[row][word & 0xFF] ^ kTables[row - 1][word >> 8 & 0xFF] ^
         kTables[row - 2][word >> 16 & 0xFF] ^ kTables[row - 3][word >> 24];
}

std::uint32_t product(std::uint32_t a, std::uint32_t b) {
  std::uint32_t sum = 0;
  for (std::uint32_t term = kOne; term != 0; term >>= 1, b = times_x(b)) {
    if (a & term) sum ^= b;
  }
  return sum;
}

// x^(8 · bytes): what stands before as many bytes is to be multiplied by.
std::uint32_t shift_by(std::uint64_t bytes) {
  std::uint32_t result = kOne, power = kOne >> 8;
  for (; bytes != 0; bytes >>= 1, power = product(power, power)) {
    if (bytes & 1) result = product(result, power);
  }
  return result;
}

}  // namespace

std::uint32_t crc32(const void* data, std::size_t bytes, std::uint32_t before) {
  const auto* at = static_cast<const unsigned char*>(data);
  std::uint32_t remainder = ~before;
  for (; bytes >= kSlices; bytes -= kSlices, at += kSlices) {
    std::array<std::uint32_t, 4> words;
    std::memcpy(words.data(), at, kSlices);
    remainder = look_up(words[0] ^ remainder, 15) ^ look_up(words[1], 11) ^ look_up(words[2], 7) ^
                look_up(words[3], 3);
  }
  for (; bytes > 0; --bytes, ++at) {
    remainder = (remainder >> 8) ^ kTables[0][(remainder ^ *at) & 0xFF];
  }
  return ~remainder;
}

std::uint32_t joined_crc32(std::uint32_t first, std::uint32_t second, std::uint64_t second_bytes) {
  return product(first, shift_by(second_bytes)) ^ second;
}

}  // namespace suture::format
