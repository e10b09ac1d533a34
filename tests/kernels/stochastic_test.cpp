#include "kernels/cpu/stochastic.h"

#include <gtest/gtest.h>

namespace suture::kernels {
namespace {

// The first of the known answers that the authors of Philox publish: all zeros.
TEST(Philox, GivesThePublishedWords) {
  const RandomWords words = philox(0, 0);
  EXPECT_EQ(words.first, 0x6627E8D5u);
  EXPECT_EQ(words.second, 0xE169C58Du);
}

TEST(Philox, EveryBitOfKeyAndCounterMatters) {
  const RandomWords plain = philox(12345, 678);
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_NE(philox(12345 ^ std::uint64_t{1} << bit, 678).first, plain.first) << bit;
    EXPECT_NE(philox(12345, 678 ^ std::uint64_t{1} << bit).first, plain.first) << bit;
  }
}

}  // namespace
}  // namespace suture::kernels
