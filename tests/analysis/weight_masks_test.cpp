#include "analysis/weight_masks.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <gtest/gtest.h>

namespace suture {
namespace {

at::Tensor normal(std::vector<std::int64_t> shape, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator, at::TensorOptions(at::kFloat));
}

// Zero but for about `density` of the entries.
at::Tensor sparse(std::vector<std::int64_t> shape, double density, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed + 100);
  const at::Tensor kept = at::rand(shape, generator, at::TensorOptions(at::kFloat)) < density;
  return normal(shape, seed) * kept;
}

at::Tensor row(std::vector<float> values) { return at::tensor(values).unsqueeze(0); }

TEST(WeightMasks, CountWhatIsNoNumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(count_non_finite(row({1, nan, -inf, 0})), 2);
  EXPECT_EQ(count_non_finite(normal({700, 900}, 1)), 0);
}

TEST(WeightMasks, ZerosAreUnchangedWhateverTheirSign) {
  EXPECT_EQ(zero_share(row({0, -0.0f, 1, 1e-40f})), 0.5);
}

TEST(WeightMasks, RelativeChangeIsOfTheLargerOfTheTwo) {
  // Just below and above a thousandth; of the tuned weight, where that is larger; from zero.
  const at::Tensor base = row({1, 1, 0.5f, 0, 0});
  const at::Tensor delta = row({9.9e-4f, -1.01e-3f, 499.5f, 1e-9f, 0});
  EXPECT_EQ(relatively_unchanged_share(delta, base), 2.0 / 5);
}

TEST(WeightMasks, RelativeChangeOfNeighboursInBfloat16IsSeen) {
  // Adjacent bf16 numbers differ by at least 2^-8: the thousandth tells the same as equality.
  const at::Tensor base = normal({200, 200}, 1).to(at::kBFloat16);
  const at::Tensor tuned = (base.to(at::kFloat) * 1.003f).to(at::kBFloat16);
  const at::Tensor delta = tuned.to(at::kFloat) - base.to(at::kFloat);
  EXPECT_EQ(relatively_unchanged_share(delta, base.to(at::kFloat)), zero_share(delta));
  EXPECT_GT(zero_share(delta), 0.1);
}

TEST(WeightMasks, RealisableIsHalfTheSpacingOfBfloat16) {
  // Spacing is 2^-7 from 1 on, 2^-8 below; 2^-133 for subnormal numbers and zero.
  const at::Tensor base = row({1, 1, 1.99f, -0.99f, -0.99f, 0, 0, 4});
  const float half = std::ldexp(1.0f, -8);
  const float least = std::ldexp(1.0f, -134);
  const at::Tensor delta = row({half, std::nextafter(half, 0.0f), -half, half / 2,
                                std::nextafter(half / 2, 0.0f), least, least / 2, half});
  EXPECT_EQ(realisable_share(delta, base), 4.0 / 8);
  EXPECT_EQ(realisable_share(delta.to(at::kDouble), base.to(at::kDouble)), 4.0 / 8);
}

TEST(WeightMasks, ChangesAmongSmallAndLargeWeights) {
  const at::Tensor weights = row({1, -2, 3, -4, 5, -6, 7, -8, 9, -10});
  const at::Tensor delta = row({1, 0, 1, 0, 0, 0, 0, 0, 1, 1});
  EXPECT_EQ(changed_among(delta, weights, Extreme::kSmallest, 0.3), 2.0 / 4);
  EXPECT_EQ(changed_among(delta, weights, Extreme::kLargest, 0.3), 2.0 / 4);
  EXPECT_EQ(changed_among(at::zeros_like(delta), weights, Extreme::kLargest, 0.3), 0);
}

TEST(WeightMasks, TiesCountByTheirPart) {
  const at::Tensor delta = row({1, 1, 0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_DOUBLE_EQ(changed_among(delta, at::ones_like(delta), Extreme::kSmallest, 0.3), 0.3);
  // One entry below, nine that tie: two of them are in.
  const at::Tensor weights = row({1, 2, 2, 2, 2, 2, 2, 2, 2, 2});
  EXPECT_DOUBLE_EQ(changed_among(delta, weights, Extreme::kSmallest, 0.3), (1 + 2.0 / 9) / 2);
}

TEST(WeightMasks, LargeTensorsHaveTheSameLimit) {
  // Large enough for the sample, once in random and once in rising order, which the sample misses
  // by nothing; and with many ties.
  const at::Tensor random = normal({1000, 900}, 2);
  for (const at::Tensor& weights :
       {random, std::get<0>(random.flatten().sort()).view({1000, 900}), random.round()}) {
    const at::Tensor delta = sparse({1000, 900}, 0.2, 3);
    const at::Tensor magnitudes = std::get<0>(weights.abs().flatten().sort());
    const float limit = magnitudes[270000 - 1].item<float>();
    const at::Tensor changed = delta != 0, order = weights.abs();
    const auto count = [](const at::Tensor& mask) {
      return static_cast<double>(mask.sum().item<std::int64_t>());
    };
    const double tied = count(order == limit), inside = count(order < limit);
    const double expected =
        (count((order < limit).logical_and(changed)) +
         (270000 - inside) / tied * count((order == limit).logical_and(changed))) /
        count(changed);
    EXPECT_DOUBLE_EQ(changed_among(delta, weights, Extreme::kSmallest, 0.3), expected);
    EXPECT_NEAR(expected, 0.3, 0.01);
  }
}

TEST(WeightMasks, SignsOfIndependentVectorsConflictInHalfOfWhatBothChange) {
  const at::Tensor dense = normal({500, 500}, 4), thin = sparse({500, 500}, 0.2, 5);
  PairSpectrum pair;
  compare_signs_and_masks(dense, thin, pair);
  // Over all entries it would be a tenth: where one is zero there is no conflict.
  EXPECT_NEAR(pair.sign_conflict, 0.5, 0.01);
  EXPECT_NEAR(pair.sign_conflict_by_chance, 0.5, 0.001);
  EXPECT_NEAR(pair.changed_overlap, 0.2, 0.01);
  EXPECT_NEAR(pair.changed_overlap_by_chance, 0.2, 0.01);
}

TEST(WeightMasks, SignsByChanceHeedTheirBalance) {
  PairSpectrum pair;
  compare_signs_and_masks(row({1, 1, 1, -1}), row({1, 1, -1, -1}), pair);
  EXPECT_EQ(pair.sign_conflict, 0.25);
  EXPECT_EQ(pair.sign_conflict_by_chance, 0.75 * 0.5 + 0.25 * 0.5);
  compare_signs_and_masks(row({1, 2, 3, 4}), row({1, 1, 1, 1}), pair);
  EXPECT_EQ(pair.sign_conflict, 0);
  EXPECT_EQ(pair.sign_conflict_by_chance, 0);
}

TEST(WeightMasks, OverlapOfKnownMasks) {
  PairSpectrum pair;
  compare_signs_and_masks(row({1, 1, 0, 0, 0, 0, 0, 0}), row({0, 1, 1, 1, 0, 0, 0, 0}), pair);
  EXPECT_EQ(pair.changed_overlap, 1.0 / 4);
  // 2/8 and 3/8: both by 6/64, one of them by 40/64 - 6/64.
  EXPECT_DOUBLE_EQ(pair.changed_overlap_by_chance, 6.0 / 34);
  const at::Tensor a = sparse({600, 600}, 0.3, 7), b = sparse({600, 600}, 0.1, 8);
  compare_signs_and_masks(a, b, pair);
  EXPECT_NEAR(pair.changed_overlap, pair.changed_overlap_by_chance, 0.003);
}

TEST(WeightMasks, OfZerosNothingIsSaid) {
  PairSpectrum pair;
  compare_signs_and_masks(at::zeros({2, 2}), at::zeros({2, 2}), pair);
  EXPECT_EQ(pair.sign_conflict, 0);
  EXPECT_EQ(pair.changed_overlap, 0);
  EXPECT_EQ(pair.changed_overlap_by_chance, 0);
}

}  // namespace
}  // namespace suture
