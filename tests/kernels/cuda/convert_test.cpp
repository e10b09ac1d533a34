#include "kernels/cuda/convert.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/convert.h"
#include "support/float_reference.h"

// The device's functions, compiled for the host, against the CPU kernels: bit for bit, NaN payloads
// aside.
namespace suture::kernels::cuda {
namespace {

using test::decode;
using test::stored_bits;

template <typename T>
bool same(T a, T b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}

template <Dtype kDtype, typename T>
void expect_every_pattern_widens() {
  std::vector<std::uint16_t> stored(65536);
  for (std::size_t i = 0; i < stored.size(); ++i) stored[i] = static_cast<std::uint16_t>(i);
  std::vector<T> expected(stored.size());
  kernels::widen(kDtype, stored.data(), expected.data(), stored.size());
  for (std::size_t i = 0; i < stored.size(); ++i) {
    ASSERT_TRUE(same(Element<kDtype>::template widen<T>(stored[i]), expected[i])) << std::hex << i;
  }
}

TEST(CudaWiden, EveryHalfPattern) {
  expect_every_pattern_widens<Dtype::kBF16, float>();
  expect_every_pattern_widens<Dtype::kBF16, double>();
  expect_every_pattern_widens<Dtype::kF16, float>();
  expect_every_pattern_widens<Dtype::kF16, double>();
}

// Every 16-bit value, every midpoint between neighbours and what lies closest to those; then any
// bits.
template <typename T>
std::vector<T> hard_values() {
  std::vector<T> values;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  for (const Dtype dtype : {Dtype::kBF16, Dtype::kF16}) {
    for (std::uint64_t bits = 0; bits < 65536; ++bits) {
      const double value = decode(dtype, bits), next = decode(dtype, bits ^ 1);
      for (const double center : {value, (value + next) / 2}) {
        const auto rounded = static_cast<T>(center);
        values.insert(values.end(), {rounded, std::nextafter(rounded, kInfinity),
                                     std::nextafter(rounded, -kInfinity)});
      }
    }
  }
  std::mt19937_64 random(3);
  for (int i = 0; i < 500'000; ++i) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    values.push_back(bits_as<T>(static_cast<Bits>(random())));
  }
  // Doubles near the range of f16, where random ones hardly ever are.
  for (int i = 0; i < 500'000; ++i) {
    values.push_back(static_cast<T>(std::ldexp(static_cast<double>(random()) * 0x1p-63 - 1,
                                               static_cast<int>(random() % 60) - 40)));
  }
  values.insert(values.end(), {65504, 65519, 65520, 65535, 65536, kInfinity, -kInfinity, 0, -T{0}});
  return values;
}

template <Dtype kDtype, typename T>
void expect_narrows(const std::vector<T>& values) {
  using Bits = typename Element<kDtype>::Bits;
  std::vector<Bits> expected(values.size());
  kernels::narrow(kDtype, values.data(), expected.data(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Bits found = Element<kDtype>::narrow(values[i]);
    if (found == expected[i]) continue;
    ASSERT_TRUE(std::isnan(decode(kDtype, found)) && std::isnan(decode(kDtype, expected[i])))
        << name_of(kDtype) << " of " << std::hexfloat << values[i] << " is " << std::hex << found
        << ", not " << expected[i];
  }
}

TEST(CudaNarrow, RoundsAsTheCpuDoes) {
  const auto floats = hard_values<float>();
  expect_narrows<Dtype::kBF16>(floats);
  expect_narrows<Dtype::kF16>(floats);
  expect_narrows<Dtype::kF32>(floats);
  const auto doubles = hard_values<double>();
  expect_narrows<Dtype::kBF16>(doubles);
  expect_narrows<Dtype::kF16>(doubles);
  expect_narrows<Dtype::kF32>(doubles);
  expect_narrows<Dtype::kF64>(doubles);
}

template <typename Bits>
void expect_moves_eight() {
  alignas(16) Bits stored[16], moved[16] = {};
  for (unsigned i = 0; i < 16; ++i) stored[i] = static_cast<Bits>(i * 0x0101010101010101u);
  Bits run[8];
  load(stored, 8, run);
  for (unsigned i = 0; i < 8; ++i) EXPECT_EQ(run[i], stored[8 + i]);
  store(moved, 8, run);
  for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(moved[i], i < 8 ? Bits{0} : stored[i]);
}

TEST(CudaLoadAndStore, MoveEightElements) {
  expect_moves_eight<std::uint16_t>();
  expect_moves_eight<std::uint32_t>();
  expect_moves_eight<std::uint64_t>();
}

}  // namespace
}  // namespace suture::kernels::cuda
