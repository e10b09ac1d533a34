#include "kernels/convert.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "support/float_reference.h"

namespace suture::kernels {
namespace {

using test::decode;
using test::encode;
using test::kComputableDtypes;
using test::stored_bits;
using test::stored_bytes;

constexpr Dtype kHalves[] = {Dtype::kBF16, Dtype::kF16};

std::vector<std::uint64_t> all_patterns() {
  std::vector<std::uint64_t> patterns(65536);
  for (std::size_t i = 0; i < patterns.size(); ++i) patterns[i] = i;
  return patterns;
}

// Every value of a 16-bit format, every midpoint between neighbours, and what lies closest to
// those.
template <typename T>
std::vector<T> values_around_every_rounding(Dtype dtype) {
  std::vector<T> values;
  const T infinity = std::numeric_limits<T>::infinity();
  const std::uint64_t largest = encode(dtype, std::numeric_limits<double>::infinity());
  for (std::uint64_t bits = 0; bits <= largest; ++bits) {
    const double value = bits == largest ? 2 * decode(dtype, bits - 1) : decode(dtype, bits);
    const double next =
        bits + 1 < largest ? decode(dtype, bits + 1) : value + (value - decode(dtype, bits - 1));
    for (const double center : {value, (value + next) / 2}) {
      const auto rounded = static_cast<T>(center);
      for (const T near :
           {rounded, std::nextafter(rounded, infinity), std::nextafter(rounded, -infinity)}) {
        values.push_back(near);
        values.push_back(-near);
      }
    }
  }
  values.insert(values.end(), {infinity, -infinity, std::numeric_limits<T>::max(),
                               std::numeric_limits<T>::denorm_min(), T{0}, -T{0}});
  return values;
}

template <typename T>
std::vector<T> random_values(std::size_t count) {
  std::mt19937_64 random(7);
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  std::vector<T> values;
  while (values.size() < count) {
    const T value = std::bit_cast<T>(static_cast<Bits>(random()));
    if (!std::isnan(value)) values.push_back(value);
  }
  return values;
}

template <typename T>
void expect_rounded_once(Dtype dtype, const std::vector<T>& values) {
  std::string out(values.size() * static_cast<std::size_t>(bytes_of(dtype)), '\0');
  narrow(dtype, values.data(), out.data(), values.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size() && wrong < 5; ++i) {
    const std::uint64_t expected = encode(dtype, static_cast<double>(values[i]));
    if (stored_bits(dtype, out.data(), i) == expected) continue;
    ++wrong;
    ADD_FAILURE() << name_of(dtype) << " of " << std::hexfloat << values[i] << " is " << std::hex
                  << stored_bits(dtype, out.data(), i) << ", not " << expected;
  }
}

TEST(Widen, EveryHalfPatternIsExactAsFloatAndDouble) {
  for (const Dtype dtype : kHalves) {
    const std::string stored = stored_bytes(dtype, all_patterns());
    std::vector<float> floats(65536);
    std::vector<double> doubles(65536);
    widen(dtype, stored.data(), floats.data(), floats.size());
    widen(dtype, stored.data(), doubles.data(), doubles.size());
    for (std::uint64_t bits = 0; bits < 65536; ++bits) {
      const double expected = decode(dtype, bits);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(floats[bits]) && std::isnan(doubles[bits])) << bits;
        continue;
      }
      ASSERT_EQ(std::bit_cast<std::uint64_t>(static_cast<double>(floats[bits])),
                std::bit_cast<std::uint64_t>(expected))
          << name_of(dtype) << " " << bits;
      ASSERT_EQ(std::bit_cast<std::uint64_t>(doubles[bits]),
                std::bit_cast<std::uint64_t>(expected));
    }
  }
}

TEST(Widen, AgreesWithLibTorchOnEveryHalfPattern) {
  for (const auto& [dtype, type] :
       {std::pair{Dtype::kBF16, at::kBFloat16}, {Dtype::kF16, at::kHalf}}) {
    std::string stored = stored_bytes(dtype, all_patterns());
    const at::Tensor theirs = at::from_blob(stored.data(), {65536}, type).to(at::kFloat);
    std::vector<float> ours(65536);
    widen(dtype, stored.data(), ours.data(), ours.size());
    for (std::size_t i = 0; i < ours.size(); ++i) {
      const float expected = theirs.const_data_ptr<float>()[i];
      if (!std::isnan(expected)) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(ours[i]), std::bit_cast<std::uint32_t>(expected))
            << i;
      }
    }
  }
}

TEST(Widen, KeepsEveryBitOfAFloatAndADouble) {
  const std::vector<std::uint64_t> floats{0x7F800001, 0xFFC00001, 0x80000000, 1, 0x3F800000};
  const std::string stored = stored_bytes(Dtype::kF32, floats);
  std::vector<float> out(floats.size());
  widen(Dtype::kF32, stored.data(), out.data(), out.size());
  for (std::size_t i = 0; i < out.size(); ++i)
    EXPECT_EQ(stored_bits(Dtype::kF32, out.data(), i), floats[i]);
  const std::vector<std::uint64_t> doubles{0x7FF0000000000001, 0x8000000000000000, 1};
  const std::string stored_doubles = stored_bytes(Dtype::kF64, doubles);
  std::vector<double> wide(doubles.size());
  widen(Dtype::kF64, stored_doubles.data(), wide.data(), wide.size());
  for (std::size_t i = 0; i < wide.size(); ++i)
    EXPECT_EQ(stored_bits(Dtype::kF64, wide.data(), i), doubles[i]);
}

TEST(Widen, FloatToDoubleIsExact) {
  const std::vector<float> values = random_values<float>(10'000);
  std::vector<double> out(values.size());
  widen(Dtype::kF32, values.data(), out.data(), out.size());
  for (std::size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], static_cast<double>(values[i]));
}

TEST(NarrowFloat, RoundsToNearestEvenAroundEveryHalfValue) {
  for (const Dtype dtype : kHalves)
    expect_rounded_once(dtype, values_around_every_rounding<float>(dtype));
}

TEST(NarrowFloat, RoundsRandomPatterns) {
  for (const Dtype dtype : kComputableDtypes)
    expect_rounded_once(dtype, random_values<float>(200'000));
}

TEST(NarrowFloat, AgreesWithLibTorch) {
  for (const auto& [dtype, type] :
       {std::pair{Dtype::kBF16, at::kBFloat16}, {Dtype::kF16, at::kHalf}}) {
    std::vector<float> values = values_around_every_rounding<float>(dtype);
    const std::vector<float> random = random_values<float>(200'000);
    values.insert(values.end(), random.begin(), random.end());
    const auto count = static_cast<std::int64_t>(values.size());
    const at::Tensor theirs = at::from_blob(values.data(), {count}, at::kFloat).to(type);
    std::vector<std::uint16_t> ours(values.size());
    narrow(dtype, values.data(), ours.data(), ours.size());
    EXPECT_EQ(std::memcmp(ours.data(), theirs.const_data_ptr(), 2 * ours.size()), 0)
        << name_of(dtype);
  }
}

TEST(NarrowDouble, RoundsOnceAroundEveryHalfValue) {
  for (const Dtype dtype : kHalves)
    expect_rounded_once(dtype, values_around_every_rounding<double>(dtype));
}

TEST(NarrowDouble, RoundsRandomPatterns) {
  for (const Dtype dtype : kComputableDtypes)
    expect_rounded_once(dtype, random_values<double>(200'000));
}

// Just above a tie of bf16, but on it once rounded to float.
TEST(NarrowDouble, DoesNotGoThroughFloat) {
  const double value = 1 + 0x1p-8 + 0x1p-40;
  std::uint16_t once = 0, twice = 0;
  narrow(Dtype::kBF16, &value, &once, 1);
  const auto as_float = static_cast<float>(value);
  narrow(Dtype::kBF16, &as_float, &twice, 1);
  EXPECT_EQ(once, 0x3F81);
  EXPECT_EQ(twice, 0x3F80);
}

TEST(Narrow, KeepsNaNWhereverItsPayloadIs) {
  const std::vector<std::uint32_t> patterns{0x7F800001, 0xFF800001, 0x7F80FFFF,
                                            0x7FC00000, 0x7FFFFFFF, 0xFFFFE000};
  for (const Dtype dtype : kComputableDtypes) {
    for (const std::uint32_t pattern : patterns) {
      const auto value = std::bit_cast<float>(pattern);
      std::uint64_t out = 0;
      narrow(dtype, &value, &out, 1);
      EXPECT_TRUE(std::isnan(decode(dtype, out))) << name_of(dtype) << " " << pattern;
    }
    for (const std::uint64_t pattern :
         {0x7FF0000000000001u, 0xFFF0000000000001u, 0x7FFFFFFFFFFFFFFFu, 0x7FF8000000000000u}) {
      const auto value = std::bit_cast<double>(std::uint64_t{pattern});
      std::uint64_t out = 0;
      narrow(dtype, &value, &out, 1);
      EXPECT_TRUE(std::isnan(decode(dtype, out))) << name_of(dtype) << " " << pattern;
    }
  }
}

// Loops are unrolled and cut into chunks: no length may leave an element out or write past the end.
TEST(Convert, WritesExactlyTheElementsAskedFor) {
  for (const std::size_t count : {0, 1, 7, 31, 32, 33, 1023, 1024, 1025, 2049}) {
    const std::vector<double> ones(count, 1.5);
    const std::vector<float> float_ones(count, 1.5f);
    for (const Dtype dtype : kComputableDtypes) {
      const auto width = static_cast<std::size_t>(bytes_of(dtype));
      std::string from_double((count + 1) * width, '\x55'), from_float = from_double;
      narrow(dtype, ones.data(), from_double.data(), count);
      narrow(dtype, float_ones.data(), from_float.data(), count);
      const std::string expected = test::stored_values(dtype, ones) + std::string(width, '\x55');
      EXPECT_EQ(from_double, expected) << name_of(dtype) << " " << count;
      EXPECT_EQ(from_float, expected) << name_of(dtype) << " " << count;
      std::vector<double> wide(count + 1, -1);
      widen(dtype, expected.data(), wide.data(), count);
      std::vector<double> expected_wide = ones;
      expected_wide.push_back(-1);
      EXPECT_EQ(wide, expected_wide) << name_of(dtype) << " " << count;
    }
  }
}

}  // namespace
}  // namespace suture::kernels
