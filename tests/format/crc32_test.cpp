#include "format/crc32.h"

#include <cstdint>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace suture::format {
namespace {

std::uint32_t crc_of(std::string_view text, std::uint32_t before = 0) {
  return crc32(text.data(), text.size(), before);
}

// The definition, bit by bit.
std::uint32_t by_bits(std::string_view text) {
  std::uint32_t remainder = ~std::uint32_t{0};
  for (const char c : text) {
    remainder ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit)
      remainder = (remainder >> 1) ^ (remainder & 1 ? 0xEDB88320u : 0u);
  }
  return ~remainder;
}

std::string noise(std::size_t bytes) {
  std::string text;
  std::uint32_t state = 1;
  while (text.size() < bytes) {
    state = state * 1664525 + 1013904223;
    text += static_cast<char>(state >> 24);
  }
  return text;
}

TEST(Crc32, IsThatOfKnownTexts) {
  EXPECT_EQ(crc_of(""), 0u);
  EXPECT_EQ(crc_of("123456789"), 0xCBF43926u);
  EXPECT_EQ(crc_of("3\n"), 1432854225u);
}

TEST(Crc32, IsTheDefinitionAtEveryLengthAndPlace) {
  const std::string text = noise(100);
  for (std::size_t begin = 0; begin < 17; ++begin) {
    for (std::size_t bytes = 0; bytes < 70; ++bytes) {
      const std::string_view part = std::string_view(text).substr(begin, bytes);
      ASSERT_EQ(crc_of(part), by_bits(part)) << begin << " " << bytes;
    }
  }
}

TEST(Crc32, GoesOnAndIsJoinedAtEveryCut) {
  const std::string text = noise(333);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const std::string_view head = std::string_view(text).substr(0, cut);
    const std::string_view tail = std::string_view(text).substr(cut);
    ASSERT_EQ(crc_of(tail, crc_of(head)), crc_of(text));
    ASSERT_EQ(joined_crc32(crc_of(head), crc_of(tail), tail.size()), crc_of(text));
  }
}

// Zeros doubled 33 times: 8 GiB and more, which nobody reads.
TEST(Crc32, IsJoinedAcrossLongRuns) {
  std::uint32_t zeros = crc_of(std::string_view("\0", 1));
  std::uint64_t bytes = 1;
  for (int i = 0; i < 20; ++i, bytes *= 2) zeros = joined_crc32(zeros, zeros, bytes);
  EXPECT_EQ(zeros, crc_of(std::string(bytes, '\0')));
  std::uint32_t once = zeros, twice = zeros;
  for (int i = 0; i < 13; ++i, bytes *= 2) once = joined_crc32(once, once, bytes);
  EXPECT_EQ(bytes, std::uint64_t{1} << 33);
  const std::uint32_t with_one_more = joined_crc32(once, twice, std::uint64_t{1} << 20);
  EXPECT_EQ(with_one_more, joined_crc32(twice, once, bytes));
}

}  // namespace
}  // namespace suture::format
