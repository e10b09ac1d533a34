#include "kernels/linear_form.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/float_reference.h"

namespace suture::kernels {
namespace {

using test::decode;
using test::encode;
using test::kComputableDtypes;
using test::stored_bits;
using test::stored_bytes;
using test::stored_values;

// Owned elements and how to read them.
struct Operand {
  Dtype dtype;
  std::string bytes;
  StoredTile tile() const { return {bytes.data(), dtype}; }
};

// Weights as models have them, with every odd value strewn in.
Operand random_operand(Dtype dtype, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<std::uint64_t> patterns;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t kind = random() % 16;
    patterns.push_back(kind == 0   ? random() & (~std::uint64_t{0} >> (64 - bits_of(dtype)))
                       : kind == 1 ? encode(dtype, 0)
                       : kind == 2 ? encode(dtype, -0.0)
                                   : encode(dtype, normal(random) * 0.05));
  }
  return {dtype, stored_bytes(dtype, patterns)};
}

template <typename T>
T value_of(const StoredTile& tile, std::size_t i) {
  return static_cast<T>(decode(tile.dtype, stored_bits(tile.dtype, tile.data, i)));
}

// The contract, one element at a time, in the words of the header.
template <typename T>
T term_value(const TermTile& term, std::size_t i) {
  volatile T value = value_of<T>(term.minuend, i);
  if (term.subtrahend.data != nullptr) value = value - value_of<T>(term.subtrahend, i);
  if (term.scale != 1) value = value * static_cast<T>(term.scale);
  return value;
}

template <typename T>
std::uint64_t reference_bits(const StoredTile& target, std::span<const TermTile> terms, Dtype out,
                             std::size_t i) {
  const T start = value_of<T>(target, i);
  volatile T sum = start;
  for (const TermTile& term : terms) sum = sum + term_value<T>(term, i);
  const bool kept = std::isnan(start) || sum == start;
  if (kept && out == target.dtype) return stored_bits(target.dtype, target.data, i);
  return encode(out, static_cast<double>(kept ? start : sum));
}

std::uint64_t reference(const StoredTile& target, std::span<const TermTile> terms, Dtype out,
                        std::size_t i) {
  return computes_in_double(terms, target.dtype) ? reference_bits<double>(target, terms, out, i)
                                                 : reference_bits<float>(target, terms, out, i);
}

// One NaN is as good as another, but for those that are kept.
bool same(Dtype dtype, std::uint64_t a, std::uint64_t b, bool kept_nan) {
  if (a == b) return true;
  return !kept_nan && std::isnan(decode(dtype, a)) && std::isnan(decode(dtype, b));
}

void expect_reference(const Operand& target, const std::vector<TermTile>& terms, Dtype out,
                      std::size_t count) {
  const auto width = static_cast<std::size_t>(bytes_of(out));
  std::string made(count * width + 1, '\x55');
  add_to_target(target.tile(), terms, out, made.data(), count);
  EXPECT_EQ(made.back(), '\x55') << "written past the end";
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t found = stored_bits(out, made.data(), i);
    const std::uint64_t expected = reference(target.tile(), terms, out, i);
    const bool kept_nan =
        out == target.dtype && std::isnan(decode(out, stored_bits(out, target.bytes.data(), i)));
    ASSERT_TRUE(same(out, found, expected, kept_nan))
        << "element " << i << " of " << count << ": " << std::hex << found << ", not " << expected
        << "; target " << name_of(target.dtype) << ", out " << name_of(out);
  }
}

TEST(AddToTarget, EqualsTheReferenceForEveryCombinationOfDtypes) {
  constexpr std::size_t kCount = 1031;
  std::vector<Operand> targets, minuends, subtrahends;
  for (const Dtype dtype : kComputableDtypes) {
    targets.push_back(random_operand(dtype, kCount, 1));
    minuends.push_back(random_operand(dtype, kCount, 2));
    subtrahends.push_back(random_operand(dtype, kCount, 3));
  }
  for (const Operand& target : targets) {
    for (const Operand& minuend : minuends) {
      for (const Dtype out : kComputableDtypes) {
        expect_reference(target, {{minuend.tile(), {}, -0.75}}, out, kCount);
        for (const Operand& subtrahend : subtrahends) {
          expect_reference(target, {{minuend.tile(), subtrahend.tile(), 0.3}}, out, kCount);
        }
      }
    }
  }
}

TEST(AddToTarget, EqualsTheReferenceForEveryLength) {
  for (const std::size_t count : {0, 1, 31, 32, 33, 1023, 1024, 1025, 100'001}) {
    for (const Dtype dtype : kComputableDtypes) {
      const Operand target = random_operand(dtype, count, 4), a = random_operand(dtype, count, 5),
                    b = random_operand(dtype, count, 6);
      expect_reference(target, {{a.tile(), b.tile(), 0.8}}, dtype, count);
    }
  }
}

TEST(AddToTarget, AddsSeveralTermsInTheOrderWritten) {
  constexpr std::size_t kCount = 3000;
  for (const Dtype dtype : kComputableDtypes) {
    const Operand target = random_operand(dtype, kCount, 7);
    const Operand a = random_operand(Dtype::kBF16, kCount, 8),
                  b = random_operand(Dtype::kF32, kCount, 9),
                  c = random_operand(Dtype::kF16, kCount, 10);
    expect_reference(target,
                     {{a.tile(), b.tile(), 1},
                      {b.tile(), {}, -1},
                      {c.tile(), a.tile(), 1e-3},
                      {c.tile(), {}, 1.0 / 3}},
                     dtype, kCount);
  }
}

TEST(AddToTarget, OrderMattersAndIsKept) {
  const Operand target{Dtype::kF32, stored_values(Dtype::kF32, {1})};
  const Operand big{Dtype::kF32, stored_values(Dtype::kF32, {0x1p30})};
  const Operand small{Dtype::kF32, stored_values(Dtype::kF32, {0.5})};
  float out = 0;
  const std::vector<TermTile> small_last{
      {big.tile(), {}, 1}, {big.tile(), {}, -1}, {small.tile(), {}, 1}};
  add_to_target(target.tile(), small_last, Dtype::kF32, &out, 1);
  EXPECT_EQ(out, 0.5f);  // 1 + 2^30 loses the one
  const std::vector<TermTile> small_first{
      {small.tile(), {}, 1}, {big.tile(), {}, 1}, {big.tile(), {}, -1}};
  add_to_target(target.tile(), small_first, Dtype::kF32, &out, 1);
  EXPECT_EQ(out, 0.f);
}

// (1 + 2^-12)^2 is 1 + 2^-11 + 2^-24, a tie that float rounds down; fused, the last part survives.
TEST(AddToTarget, DoesNotFuseMultiplyAndAdd) {
  const std::vector<double> targets(100, -(1 + 0x1p-11)), values(100, 1 + 0x1p-12);
  const Operand target{Dtype::kF32, stored_values(Dtype::kF32, targets)};
  const Operand value{Dtype::kF32, stored_values(Dtype::kF32, values)};
  ASSERT_NE(std::fma(1 + 0x1p-12f, 1 + 0x1p-12f, -(1 + 0x1p-11f)), 0.f);
  std::vector<float> out(100, 1);
  const TermTile term{value.tile(), {}, 1 + 0x1p-12};
  add_to_target(target.tile(), {&term, 1}, Dtype::kF32, out.data(), out.size());
  EXPECT_EQ(out, std::vector<float>(100, 0));
}

TEST(AddToTarget, RoundsOnceAtTheEnd) {
  // 256 + 0.75 + 0.75 is 257.5 in float; rounded to bf16 after each step it would stay at 256.
  const Operand target{Dtype::kBF16, stored_values(Dtype::kBF16, {256})};
  const Operand half{Dtype::kBF16, stored_values(Dtype::kBF16, {0.75})};
  const std::vector<TermTile> terms{{half.tile(), {}, 1}, {half.tile(), {}, 1}};
  std::uint16_t out = 0;
  add_to_target(target.tile(), terms, Dtype::kBF16, &out, 1);
  EXPECT_EQ(decode(Dtype::kBF16, out), 258);
}

std::vector<std::uint64_t> patterns_to_keep(Dtype dtype) {
  std::vector<std::uint64_t> patterns;
  if (bits_of(dtype) == 16) {
    for (std::uint64_t bits = 0; bits < 65536; ++bits) patterns.push_back(bits);
    return patterns;
  }
  const std::uint64_t sign = std::uint64_t{1} << (bits_of(dtype) - 1);
  const std::uint64_t infinity = encode(dtype, std::numeric_limits<double>::infinity());
  for (const std::uint64_t bits : {std::uint64_t{0}, std::uint64_t{1}, infinity, infinity + 1,
                                   infinity + 12345, sign - 1, encode(dtype, 1.25)}) {
    patterns.push_back(bits);
    patterns.push_back(bits | sign);
  }
  return patterns;
}

TEST(AddToTarget, AZeroVectorGivesEveryBitPatternBack) {
  for (const Dtype dtype : kComputableDtypes) {
    const std::vector<std::uint64_t> patterns = patterns_to_keep(dtype);
    const Operand target{dtype, stored_bytes(dtype, patterns)};
    for (const Dtype zero_dtype : kComputableDtypes) {
      for (const double zero : {0.0, -0.0}) {
        const Operand zeros{zero_dtype,
                            stored_values(zero_dtype, std::vector<double>(patterns.size(), zero))};
        std::string out(target.bytes.size(), '\x55');
        const TermTile term{zeros.tile(), {}, 0.5};
        add_to_target(target.tile(), {&term, 1}, dtype, out.data(), patterns.size());
        for (std::size_t i = 0; i < patterns.size(); ++i) {
          ASSERT_EQ(stored_bits(dtype, out.data(), i), patterns[i])
              << name_of(dtype) << " with zeros in " << name_of(zero_dtype);
        }
      }
    }
  }
}

TEST(AddToTarget, WithoutTermsConverts) {
  const Operand target = random_operand(Dtype::kF32, 1500, 11);
  expect_reference(target, {}, Dtype::kBF16, 1500);
  expect_reference(target, {}, Dtype::kF32, 1500);
  expect_reference(target, {}, Dtype::kF64, 1500);
}

TEST(AddToTarget, MayWriteOverTheTarget) {
  constexpr std::size_t kCount = 5000;
  for (const Dtype dtype : kComputableDtypes) {
    const Operand target = random_operand(dtype, kCount, 12), a = random_operand(dtype, kCount, 13);
    const TermTile term{a.tile(), {}, 0.5};
    std::string apart(target.bytes.size(), '\0'), in_place = target.bytes;
    add_to_target(target.tile(), {&term, 1}, dtype, apart.data(), kCount);
    add_to_target({in_place.data(), dtype}, {&term, 1}, dtype, in_place.data(), kCount);
    EXPECT_EQ(in_place, apart) << name_of(dtype);
  }
}

TEST(ComputesInDouble, WhenAnyOperandIsFloat64) {
  const float data = 0;
  const StoredTile narrow{&data, Dtype::kF32}, wide{&data, Dtype::kF64};
  const auto computes = [](const TermTile& term, Dtype target) {
    return computes_in_double({&term, 1}, target);
  };
  EXPECT_FALSE(computes({narrow, narrow, 1}, Dtype::kBF16));
  EXPECT_TRUE(computes({narrow, narrow, 1}, Dtype::kF64));
  EXPECT_TRUE(computes({wide, {}, 1}, Dtype::kBF16));
  EXPECT_TRUE(computes({narrow, wide, 1}, Dtype::kF32));
  // An absent subtrahend has no say.
  EXPECT_FALSE(computes({narrow, {nullptr, Dtype::kF64}, 1}, Dtype::kF32));
}

TEST(SumOfTerms, EqualsTheReference) {
  for (const std::size_t count : {1, 33, 1024, 2500}) {
    const Operand a = random_operand(Dtype::kBF16, count, 14),
                  b = random_operand(Dtype::kF32, count, 15),
                  c = random_operand(Dtype::kF64, count, 16);
    const std::vector<TermTile> narrow{{a.tile(), b.tile(), 0.1}, {b.tile(), {}, 3}};
    std::vector<float> floats(count);
    sum_of_terms(narrow, floats.data(), count);
    const std::vector<TermTile> wide{{a.tile(), c.tile(), 0.1}, {b.tile(), {}, 3}};
    std::vector<double> doubles(count);
    sum_of_terms(wide, doubles.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
      volatile float expected = term_value<float>(narrow[0], i);
      expected = expected + term_value<float>(narrow[1], i);
      volatile double wide_expected = term_value<double>(wide[0], i);
      wide_expected = wide_expected + term_value<double>(wide[1], i);
      ASSERT_TRUE(floats[i] == expected || (std::isnan(floats[i]) && std::isnan(expected))) << i;
      ASSERT_TRUE(doubles[i] == wide_expected ||
                  (std::isnan(doubles[i]) && std::isnan(wide_expected)))
          << i;
    }
  }
}

// --- What rounding made of the change
// --------------------------------------------------------------

// The contract once more, one element at a time, lane by lane.
template <typename T>
ChangeSums reference_change(const StoredTile& target, std::span<const TermTile> terms, Dtype out,
                            const void* made, std::size_t count) {
  double wanted_lanes[16] = {}, realised_lanes[16] = {}, dot_lanes[16] = {};
  ChangeSums sums;
  for (std::size_t i = 0; i < count; ++i) {
    volatile T wanted = 0;
    for (std::size_t t = 0; t < terms.size(); ++t)
      wanted = t == 0 ? term_value<T>(terms[t], i) : wanted + term_value<T>(terms[t], i);
    const T realised = value_of<T>({made, out}, i) - value_of<T>(target, i);
    if (std::isfinite(value_of<T>(target, i)) && !std::isfinite(realised)) {
      ++sums.changed;
      ++sums.non_finite;
    }
    if (!std::isfinite(wanted) || !std::isfinite(realised)) continue;
    const double w = wanted, r = realised;
    sums.changed += realised != 0;
    wanted_lanes[i % 16] += w * w;
    realised_lanes[i % 16] += r * r;
    dot_lanes[i % 16] += w * r;
  }
  for (int lane = 0; lane < 16; ++lane) {
    sums.wanted_squares += wanted_lanes[lane];
    sums.realised_squares += realised_lanes[lane];
    sums.dot += dot_lanes[lane];
  }
  return sums;
}

void expect_change(const Operand& target, const std::vector<TermTile>& terms, Dtype out,
                   std::size_t count) {
  std::string plain(count * 8, '\0'), measured = plain;
  add_to_target(target.tile(), terms, out, plain.data(), count);
  const ChangeSums found =
      add_to_target_measured(target.tile(), terms, out, measured.data(), count);
  EXPECT_EQ(measured, plain) << "measuring changes the result";
  const ChangeSums expected =
      computes_in_double(terms, target.dtype)
          ? reference_change<double>(target.tile(), terms, out, plain.data(), count)
          : reference_change<float>(target.tile(), terms, out, plain.data(), count);
  const std::string where = std::string(name_of(target.dtype)) + " to " +
                            std::string(name_of(out)) + ", " + std::to_string(count);
  EXPECT_EQ(found.changed, expected.changed) << where;
  EXPECT_EQ(found.non_finite, expected.non_finite) << where;
  EXPECT_EQ(found.wanted_squares, expected.wanted_squares) << where;
  EXPECT_EQ(found.realised_squares, expected.realised_squares) << where;
  EXPECT_EQ(found.dot, expected.dot) << where;
}

TEST(AddToTargetMeasured, EqualsTheReferenceForEveryCombinationOfDtypes) {
  constexpr std::size_t kCount = 1553;
  for (const Dtype target_dtype : kComputableDtypes) {
    const Operand target = random_operand(target_dtype, kCount, 21);
    for (const Dtype dtype : kComputableDtypes) {
      const Operand a = random_operand(dtype, kCount, 22), b = random_operand(dtype, kCount, 23);
      for (const Dtype out : kComputableDtypes) {
        expect_change(target, {{a.tile(), b.tile(), 0.3}}, out, kCount);
        expect_change(target, {{a.tile(), {}, 1}, {b.tile(), {}, -0.5}}, out, kCount);
      }
    }
  }
}

TEST(AddToTargetMeasured, EqualsTheReferenceForEveryLength) {
  for (const std::size_t count : {0, 1, 15, 16, 17, 511, 512, 513, 65'536}) {
    const Operand target = random_operand(Dtype::kBF16, count, 24),
                  a = random_operand(Dtype::kBF16, count, 25);
    expect_change(target, {{a.tile(), {}, 0.3}}, Dtype::kBF16, count);
    expect_change(target, {}, Dtype::kBF16, count);
  }
}

TEST(AddToTargetMeasured, OfAnExactSumIsWhatWasWanted) {
  const std::vector<double> weights(1000, 1), steps(1000, 0.25);
  const Operand target{Dtype::kBF16, stored_values(Dtype::kBF16, weights)};
  const Operand step{Dtype::kBF16, stored_values(Dtype::kBF16, steps)};
  std::string out(2000, '\0');
  const TermTile term{step.tile(), {}, 1};
  const ChangeSums found =
      add_to_target_measured(target.tile(), {&term, 1}, Dtype::kBF16, out.data(), 1000);
  EXPECT_EQ(found.changed, 1000u);
  EXPECT_EQ(found.wanted_squares, 62.5);
  EXPECT_EQ(found.realised_squares, 62.5);
  EXPECT_EQ(found.dot, 62.5);
}

TEST(AddToTargetMeasured, CountsWhatOverflows) {
  const Operand target{Dtype::kF16, stored_values(Dtype::kF16, {60000, 60000, 1})};
  const Operand step{Dtype::kF16, stored_values(Dtype::kF16, {10000, -10000, 0.5})};
  std::string out(6, '\0');
  const TermTile term{step.tile(), {}, 1};
  const ChangeSums found =
      add_to_target_measured(target.tile(), {&term, 1}, Dtype::kF16, out.data(), 3);
  EXPECT_EQ(found.changed, 3u);
  EXPECT_EQ(found.non_finite, 1u);
}

// --- Stochastic rounding
// -----------------------------------------------------------------------------

std::string rounded_stochastically(const Operand& target, const TermTile& term, Dtype out,
                                   std::size_t count, std::uint64_t key,
                                   std::uint64_t first_element = 0) {
  std::string made(count * static_cast<std::size_t>(bytes_of(out)), '\0');
  add_to_target(target.tile(), {&term, 1}, out, made.data(), count, {true, key, first_element});
  return made;
}

TEST(StochasticRounding, GivesOneOfTheTwoNeighbours) {
  constexpr std::size_t kCount = 20'000;
  for (const Dtype target_dtype : {Dtype::kF32, Dtype::kF64}) {
    const Operand target = random_operand(target_dtype, kCount, 31),
                  zero{Dtype::kF32, std::string(kCount * 4, '\0')};
    for (const Dtype out : {Dtype::kBF16, Dtype::kF16, Dtype::kF32}) {
      const std::string made = rounded_stochastically(target, {zero.tile(), {}, 1}, out, kCount, 5);
      for (std::size_t i = 0; i < kCount; ++i) {
        const double value = value_of<double>(target.tile(), i);
        const std::uint64_t bits = stored_bits(out, made.data(), i), nearest = encode(out, value);
        if (std::isnan(value)) {
          EXPECT_TRUE(std::isnan(decode(out, bits)));
          continue;
        }
        const double near = decode(out, nearest), got = decode(out, bits);
        if (near == value) {
          ASSERT_EQ(bits, nearest) << "a value that the dtype holds stays";
          continue;
        }
        // Next to the nearest, or the nearest, and never past the value by a whole step.
        ASSERT_LE(bits > nearest ? bits - nearest : nearest - bits, 1u) << value;
        if (bits != nearest && std::isfinite(near)) {
          ASSERT_LT((value - near) * (value - got), 0) << value;
        }
      }
    }
  }
}

TEST(StochasticRounding, GivesInfinityOnlyWhereNearestDoes) {
  for (const auto& [dtype, largest] :
       {std::pair{Dtype::kF16, 65504.0}, std::pair{Dtype::kBF16, 0x1.FEp127}}) {
    const std::vector<double> values(1000, largest * 1.0001);
    const Operand target{Dtype::kF32, stored_values(Dtype::kF32, values)},
        zero{Dtype::kF32, std::string(4000, '\0')};
    const std::string made = rounded_stochastically(target, {zero.tile(), {}, 1}, dtype, 1000, 4);
    EXPECT_EQ(made, stored_values(dtype, std::vector<double>(1000, largest)));
  }
}

// A share s of the way to the next goes up in a share s of the draws: within five sigma.
TEST(StochasticRounding, IsRightOnAverage) {
  constexpr std::size_t kCount = 200'000;
  struct Case {
    Dtype out;
    double low, step;
  };
  for (const Case& at : {Case{Dtype::kBF16, 1, 0x1p-7}, Case{Dtype::kBF16, -0x1p-130, -0x1p-133},
                         Case{Dtype::kF16, 1, 0x1p-10}, Case{Dtype::kF16, 0x1p-20, 0x1p-24},
                         Case{Dtype::kF16, 0, 0x1p-24}, Case{Dtype::kF32, 1, 0x1p-23}}) {
    for (const double share : {0.125, 0.5, 0.75}) {
      const double value = at.low + share * at.step;
      const Dtype wide = at.out == Dtype::kF32 ? Dtype::kF64 : Dtype::kF32;
      const Operand target{wide, stored_values(wide, std::vector<double>(kCount, value))},
          zero{Dtype::kF32, std::string(kCount * 4, '\0')};
      const std::string made =
          rounded_stochastically(target, {zero.tile(), {}, 1}, at.out, kCount, 99);
      std::size_t up = 0;
      for (std::size_t i = 0; i < kCount; ++i)
        up += decode(at.out, stored_bits(at.out, made.data(), i)) == at.low + at.step;
      const double sigma = std::sqrt(share * (1 - share) / kCount);
      EXPECT_NEAR(static_cast<double>(up) / kCount, share, 5 * sigma)
          << name_of(at.out) << " at " << value;
    }
  }
}

TEST(StochasticRounding, DependsOnKeyAndElementAlone) {
  constexpr std::size_t kCount = 3000, kCut = 777;
  const Operand target = random_operand(Dtype::kBF16, kCount, 33),
                step = random_operand(Dtype::kF32, kCount, 34);
  const TermTile term{step.tile(), {}, 1e-3};
  const std::string whole = rounded_stochastically(target, term, Dtype::kBF16, kCount, 7);
  std::string parts(kCount * 2, '\0');
  add_to_target(target.tile(), {&term, 1}, Dtype::kBF16, parts.data(), kCut, {true, 7, 0});
  const TermTile rest{{step.bytes.data() + kCut * 4, Dtype::kF32}, {}, 1e-3};
  add_to_target({target.bytes.data() + kCut * 2, Dtype::kBF16}, {&rest, 1}, Dtype::kBF16,
                parts.data() + kCut * 2, kCount - kCut, {true, 7, kCut});
  EXPECT_EQ(parts, whole);
  EXPECT_NE(rounded_stochastically(target, term, Dtype::kBF16, kCount, 8), whole);
}

TEST(StochasticRounding, AZeroVectorGivesEveryBitPatternBack) {
  for (const Dtype dtype : kComputableDtypes) {
    const std::vector<std::uint64_t> patterns = patterns_to_keep(dtype);
    const Operand target{dtype, stored_bytes(dtype, patterns)};
    const Operand zeros{Dtype::kF32,
                        stored_values(Dtype::kF32, std::vector<double>(patterns.size(), -0.0))};
    EXPECT_EQ(rounded_stochastically(target, {zeros.tile(), {}, 1}, dtype, patterns.size(), 3),
              target.bytes)
        << name_of(dtype);
  }
}

}  // namespace
}  // namespace suture::kernels
