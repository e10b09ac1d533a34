#include "surgery/sparse_tensor.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/tensor_info.h"

namespace suture {
namespace {

TensorInfo info_of(Dtype dtype, const std::vector<std::int64_t>& shape) {
  return test::tensor_info("w", shape, dtype);
}

TEST(SparseTensor, ExpandsToWhatWasCompressed) {
  std::mt19937_64 random(1);
  for (const std::size_t width : {2ul, 4ul, 8ul}) {
    for (const std::size_t count : {0ul, 1ul, 8ul, 63ul, 64ul, 65ul, 5000ul}) {
      std::string dense(count * width, '\0');
      std::vector<bool> set(count);
      for (std::size_t i = 0; i < count; ++i) {
        if (random() % 3 != 0) continue;
        // One bit anywhere, the sign of -0 among them.
        const std::uint64_t bit = random() % (8 * width);
        dense[i * width + bit / 8] = static_cast<char>(1u << (bit % 8));
        set[i] = true;
      }
      const std::uint64_t kept = count_sparse_values(dense.data(), width, count);
      std::vector<std::uint8_t> bitmap((count + 7) / 8 + 8, 0xAA);
      std::string values(kept * width + 8, '?');
      compress(dense.data(), width, count, bitmap.data(), values.data());
      for (std::size_t i = 0; i < (count + 7) / 8 * 8; ++i)
        EXPECT_EQ((bitmap[i / 8] >> (i % 8) & 1) != 0, i < count && set[i]) << i;
      EXPECT_EQ(count_bits(bitmap.data(), 0, count), kept);
      for (const std::size_t first : {std::size_t{0}, count / 3, count}) {
        const std::uint64_t before = count_bits(bitmap.data(), 0, first);
        std::string again((count - first) * width, '?');
        expand(bitmap.data(), first, values.data() + before * width, width, count - first,
               again.data());
        EXPECT_TRUE(again == dense.substr(first * width)) << width << " " << count << " " << first;
      }
    }
  }
}

TEST(SparseTensor, CountsBitsBetweenAnyTwo) {
  std::mt19937_64 random(2);
  std::vector<std::uint8_t> bitmap(64);
  for (auto& byte : bitmap) byte = static_cast<std::uint8_t>(random());
  for (std::size_t first = 0; first < 150; ++first) {
    std::uint64_t expected = 0;
    for (std::size_t count = 0; first + count < 512; ++count) {
      EXPECT_EQ(count_bits(bitmap.data(), first, count), expected);
      const std::size_t bit = first + count;
      expected += bitmap[bit / 8] >> (bit % 8) & 1;
    }
  }
}

TEST(SparseTensor, HasPartsThatSayTheirSizes) {
  const SparseParts parts = sparse_parts_of(info_of(Dtype::kBF16, {3, 65537}), 7);
  EXPECT_EQ(parts.bitmap.name, "w.suture_bitmap");
  EXPECT_EQ(parts.bitmap.shape, (std::vector<std::int64_t>{(3 * 65537 + 7) / 8}));
  EXPECT_EQ(parts.values.dtype, Dtype::kBF16);
  EXPECT_EQ(parts.values.bytes, 14u);
  EXPECT_EQ(parts.offsets.dtype, Dtype::kI64);
  EXPECT_EQ(parts.offsets.elements, 4u);
}

TEST(SparseTensor, IsTakenWhereItIsSmaller) {
  // 16,000 bytes dense; sparse: 1000 of bits, 8 of offsets, 2 for each value.
  const TensorInfo info = info_of(Dtype::kBF16, {8000});
  EXPECT_TRUE(is_smaller_sparse(info, (16'000 - 1008) / 2 - 1));
  EXPECT_FALSE(is_smaller_sparse(info, (16'000 - 1008) / 2));
  EXPECT_FALSE(is_smaller_sparse(info_of(Dtype::kF32, {0}), 0));
}

}  // namespace
}  // namespace suture
