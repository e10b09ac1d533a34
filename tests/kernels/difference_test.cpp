#include "kernels/difference.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/convert.h"
#include "kernels/statistics.h"
#include "support/float_reference.h"

namespace suture::kernels {
namespace {

using test::kComputableDtypes;
using test::stored_bits;
using test::stored_bytes;
using test::stored_values;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A model and one near it: some elements alike, some of another size or sign, some odd.
struct Pair {
  Dtype dtype;
  std::string tuned, base;
  std::size_t count;

  StoredTile tuned_tile() const { return {tuned.data(), dtype}; }
  StoredTile base_tile() const { return {base.data(), dtype}; }
};

Pair random_pair(Dtype dtype, std::size_t count, std::uint64_t seed, bool odd) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> tuned, base;
  for (std::size_t i = 0; i < count; ++i) {
    base.push_back(normal(random) * std::exp2(-static_cast<int>(random() % 20)));
    const std::uint64_t kind = random() % 24;
    tuned.push_back(kind < 8     ? base.back()
                    : kind < 20  ? base.back() + normal(random) * 1e-3
                    : !odd       ? base.back() * 1.5
                    : kind == 20 ? -0.0
                    : kind == 21 ? kInfinity
                    : kind == 22 ? kNaN
                                 : normal(random) * std::exp2(30));
    if (odd && random() % 30 == 0) base.back() = random() % 2 ? -0.0 : kInfinity;
  }
  return {dtype, stored_values(dtype, tuned), stored_values(dtype, base), count};
}

struct NaiveFindings {
  std::vector<float> differences;
  std::uint64_t inexact_in_float = 0, inexact_in_double = 0;
  bool fits_bf16 = true, fits_f16 = true;
};

// base + difference by the rules of injection, element by element.
std::uint64_t sum_bits(const Pair& pair, std::size_t i, double difference, Dtype dtype) {
  const std::size_t width = static_cast<std::size_t>(bytes_of(pair.dtype));
  const TermTile term{{&difference, Dtype::kF64}, {}, 1};
  const auto as_float = static_cast<float>(difference);
  const TermTile narrow_term{{&as_float, Dtype::kF32}, {}, 1};
  std::uint64_t out = 0;
  add_to_target({pair.base.data() + i * width, pair.dtype},
                {dtype == Dtype::kF64 ? &term : &narrow_term, 1}, pair.dtype, &out, 1);
  return out;
}

bool round_trips(float value, Dtype dtype) {
  std::uint16_t stored = 0;
  narrow(dtype, &value, &stored, 1);
  float back = 0;
  widen(dtype, &stored, &back, 1);
  return std::memcmp(&value, &back, sizeof value) == 0;
}

NaiveFindings naive(const Pair& pair) {
  NaiveFindings found;
  found.differences.resize(pair.count);
  const TermTile term{pair.tuned_tile(), pair.base_tile(), 1};
  sum_of_terms({&term, 1}, found.differences.data(), pair.count);
  std::vector<double> wide(pair.count);
  sum_of_terms({&term, 1}, wide.data(), pair.count);
  for (std::size_t i = 0; i < pair.count; ++i) {
    const std::uint64_t tuned = stored_bits(pair.dtype, pair.tuned.data(), i);
    const float difference = found.differences[i];
    found.inexact_in_float +=
        sum_bits(pair, i, static_cast<double>(difference), Dtype::kF32) != tuned;
    found.inexact_in_double += sum_bits(pair, i, wide[i], Dtype::kF64) != tuned;
    found.fits_bf16 = found.fits_bf16 && round_trips(difference, Dtype::kBF16);
    found.fits_f16 = found.fits_f16 && round_trips(difference, Dtype::kF16);
  }
  return found;
}

StoredTile tile_of(const float* values) { return {values, Dtype::kF32}; }

TEST(ExamineDifference, FindsWhatANaiveLoopFinds) {
  for (const Dtype dtype : {Dtype::kBF16, Dtype::kF16, Dtype::kF32}) {
    for (const std::size_t count : {0ul, 1ul, 15ul, 1000ul, 1024ul, 5003ul}) {
      for (const bool odd : {false, true}) {
        const Pair pair = random_pair(dtype, count, count + odd, odd);
        const NaiveFindings expected = naive(pair);
        const DifferenceFindings found =
            examine_difference(pair.tuned_tile(), pair.base_tile(), count, {}, {});
        EXPECT_EQ(found.inexact_in_float, expected.inexact_in_float) << name_of(dtype) << count;
        if (found.inexact_in_float > 0) {
          EXPECT_EQ(found.inexact_in_double, expected.inexact_in_double);
        }
        EXPECT_EQ(found.fits_bf16, expected.fits_bf16) << name_of(dtype) << count << odd;
        EXPECT_EQ(found.fits_f16, expected.fits_f16) << name_of(dtype) << count << odd;
        const auto& d = expected.differences;
        EXPECT_EQ(found.squares, sum_of_squares(tile_of(d.data()), count));
        EXPECT_EQ(found.changed, static_cast<std::uint64_t>(std::count_if(
                                     d.begin(), d.end(), [](float x) { return x != 0; })));
        std::vector<float> base(count);
        widen(dtype, pair.base.data(), base.data(), count);
        EXPECT_EQ(found.base_squares, sum_of_squares(tile_of(base.data()), count));
      }
    }
  }
}

TEST(ExamineDifference, JudgesEveryKindOfFloatAsConvertingThereAndBackDoes) {
  // Exponents of all sizes, mantissas of all lengths, both signs: each alone against zero.
  std::mt19937_64 random(5);
  for (int i = 0; i < 200'000; ++i) {
    auto bits = static_cast<std::uint32_t>(random());
    bits &= ~std::uint32_t{0} << random() % 24;
    float value = std::bit_cast<float>(bits);
    if (std::isnan(value)) value = std::bit_cast<float>(bits | 0x00400000u);
    const float zero = 0;
    const DifferenceFindings found =
        examine_difference({&value, Dtype::kF32}, {&zero, Dtype::kF32}, 1, {}, {});
    const float difference = value - zero;
    EXPECT_EQ(found.fits_bf16, round_trips(difference, Dtype::kBF16)) << value;
    EXPECT_EQ(found.fits_f16, round_trips(difference, Dtype::kF16)) << value;
  }
}

TEST(ExamineDifference, WritesWhatSumAndNarrowGive) {
  for (const Dtype stored : kComputableDtypes) {
    const Pair pair = random_pair(stored, 3001, 9, true);
    for (const Dtype out : kComputableDtypes) {
      const auto width = static_cast<std::size_t>(bytes_of(out));
      std::string written(pair.count * width, '?'), expected = written;
      examine_difference(pair.tuned_tile(), pair.base_tile(), pair.count, {},
                         DifferenceOutput{out, written.data()});
      const TermTile term{pair.tuned_tile(), pair.base_tile(), 1};
      if (stored == Dtype::kF64 || out == Dtype::kF64) {
        std::vector<double> sum(pair.count);
        sum_of_terms({&term, 1}, sum.data(), pair.count);
        narrow(out, sum.data(), expected.data(), pair.count);
      } else {
        std::vector<float> sum(pair.count);
        sum_of_terms({&term, 1}, sum.data(), pair.count);
        narrow(out, sum.data(), expected.data(), pair.count);
      }
      EXPECT_TRUE(written == expected) << name_of(stored) << " as " << name_of(out);
    }
  }
}

TEST(ExamineDifference, CountsWhatAChosenDtypeLoses) {
  const std::string tuned = stored_values(Dtype::kF32, {1.001, 1.5, 2}),
                    base = stored_values(Dtype::kF32, {1, 1, 1});
  const auto lost = [&](std::optional<Dtype> chosen) {
    return examine_difference({tuned.data(), Dtype::kF32}, {base.data(), Dtype::kF32}, 3, chosen,
                              {})
        .inexact_in_chosen;
  };
  EXPECT_EQ(lost(Dtype::kBF16), 1u);
  EXPECT_EQ(lost(Dtype::kF32), 0u);
  EXPECT_EQ(lost(std::nullopt), 0u);
}

TEST(ExamineDifference, Float64FitsNothingNarrower) {
  const std::string tuned = stored_values(Dtype::kF64, {1}), base = stored_values(Dtype::kF64, {0});
  const DifferenceFindings found =
      examine_difference({tuned.data(), Dtype::kF64}, {base.data(), Dtype::kF64}, 1, {}, {});
  EXPECT_FALSE(found.fits_bf16 || found.fits_f16);
  EXPECT_EQ(found.changed, 1u);
  EXPECT_EQ(found.squares, 1);
}

TEST(NarrowestExactDtype, TakesTheFirstThatHolds) {
  DifferenceFindings found;
  EXPECT_EQ(narrowest_exact_dtype(found, false), Dtype::kBF16);
  EXPECT_EQ(narrowest_exact_dtype(found, true), Dtype::kF64);
  found.fits_bf16 = false;
  EXPECT_EQ(narrowest_exact_dtype(found, false), Dtype::kF16);
  found.fits_f16 = false;
  EXPECT_EQ(narrowest_exact_dtype(found, false), Dtype::kF32);
  found.inexact_in_float = found.inexact_in_double = 1;  // float64 would not help
  EXPECT_EQ(narrowest_exact_dtype(found, false), Dtype::kF32);
  found.inexact_in_float = 2;
  EXPECT_EQ(narrowest_exact_dtype(found, false), Dtype::kF64);
}

TEST(IsNarrower, OrdersTheFourDtypes) {
  for (std::size_t a = 0; a < 4; ++a) {
    for (std::size_t b = 0; b < 4; ++b)
      EXPECT_EQ(is_narrower(kComputableDtypes[a], kComputableDtypes[b]), a < b);
  }
}

}  // namespace
}  // namespace suture::kernels
