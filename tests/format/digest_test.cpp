#include "format/digest.h"

#include <string>

#include <gtest/gtest.h>

namespace suture::format {
namespace {

// The published XXH3 128-bit value of no bytes with seed 0.
TEST(Digest, OfNothingIsThePublishedValue) {
  EXPECT_EQ(to_hex(digest_of("")), "99aa06d3014798d86001c324468d497f");
}

TEST(Digest, HexKeepsLeadingZeros) {
  EXPECT_EQ(to_hex({0, 1}), "00000000000000000000000000000001");
  EXPECT_EQ(to_hex({0xABC, 0}), "0000000000000abc0000000000000000");
}

TEST(Digest, TellsContentsApart) {
  EXPECT_EQ(digest_of("abc"), digest_of(std::string("abc")));
  EXPECT_FALSE(digest_of("abc") == digest_of("abd"));
  EXPECT_FALSE(digest_of("abc") == digest_of(std::string_view("abc\0", 4)));
}

TEST(Digest, ComparesBothHalves) {
  EXPECT_FALSE((Digest{1, 2} == Digest{1, 3}));
  EXPECT_FALSE((Digest{1, 2} == Digest{0, 2}));
}

TEST(DigestStream, EqualsTheDigestOfTheWhole) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += static_cast<char>(i * 31 % 256);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{255}, std::size_t{65'536}}) {
    DigestStream stream;
    for (std::size_t at = 0; at < text.size(); at += piece) {
      stream.update(std::string_view(text).substr(at, piece));
    }
    EXPECT_EQ(stream.finish(), digest_of(text)) << piece;
  }
}

TEST(DigestStream, OfNothingIsTheDigestOfNothing) {
  EXPECT_EQ(DigestStream().finish(), digest_of(""));
}

TEST(DigestStream, GoesOnAfterFinish) {
  DigestStream stream;
  stream.update("ab");
  EXPECT_EQ(stream.finish(), digest_of("ab"));
  stream.update("c");
  EXPECT_EQ(stream.finish(), digest_of("abc"));
}

TEST(DigestStream, TakesADigestAsItsHex) {
  DigestStream stream;
  stream.update(digest_of("abc"));
  EXPECT_EQ(stream.finish(), digest_of(to_hex(digest_of("abc"))));
}

TEST(DigestStream, Moves) {
  DigestStream first;
  first.update("ab");
  DigestStream second = std::move(first);
  second.update("c");
  EXPECT_EQ(second.finish(), digest_of("abc"));
}

}  // namespace
}  // namespace suture::format
