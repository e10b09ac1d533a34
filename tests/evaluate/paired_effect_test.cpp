#include "evaluate/paired_effect.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <utility>

#include <gtest/gtest.h>

#include "suture/error.h"

namespace suture::evaluation {
namespace {

using Scores = std::vector<double>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Right-or-wrong scores of two arms; of the records that agree, the first is right.
std::pair<Scores, Scores> shares(std::size_t n, std::size_t gained, std::size_t lost) {
  Scores arm(n, 0), reference(n, 0);
  std::fill_n(arm.begin(), gained, 1.0);
  std::fill_n(reference.begin() + static_cast<std::ptrdiff_t>(gained), lost, 1.0);
  if (gained + lost < n) arm.back() = reference.back() = 1;
  return {arm, reference};
}

PairedEffect share_effect(std::size_t n, std::size_t gained, std::size_t lost,
                          std::size_t family = 1) {
  const auto [arm, reference] = shares(n, gained, lost);
  return paired_effect(arm, reference, EffectKind::kShare, family);
}

PairedEffect mean_effect(const Scores& arm, const Scores& reference, std::size_t family = 1) {
  return paired_effect(arm, reference, EffectKind::kMean, family);
}

void expect_same(const PairedEffect& a, const PairedEffect& b, double tolerance) {
  EXPECT_NEAR(a.difference, b.difference, tolerance);
  EXPECT_NEAR(a.standard_error.value(), b.standard_error.value(), tolerance);
  EXPECT_NEAR(a.interval->low, b.interval->low, tolerance);
  EXPECT_NEAR(a.interval->high, b.interval->high, tolerance);
  EXPECT_NEAR(a.p_value.value(), b.p_value.value(), tolerance);
  EXPECT_NEAR(a.smallest_detectable.value(), b.smallest_detectable.value(), tolerance);
  EXPECT_EQ(a.gained, b.gained);
  EXPECT_EQ(a.lost, b.lost);
}

/// The same effect seen from the other side.
PairedEffect mirrored(PairedEffect effect) {
  std::swap(effect.mean_arm, effect.mean_reference);
  std::swap(effect.gained, effect.lost);
  effect.difference = -effect.difference;
  if (effect.interval) effect.interval = Interval{-effect.interval->high, -effect.interval->low};
  return effect;
}

// --- Shares --------------------------------------------------------------------------------------

// Bentur and others (2009): of 21 patients 1 changed one way and 7 the other.
TEST(PairedShares, KnownValues) {
  const PairedEffect effect = share_effect(21, 1, 7);
  EXPECT_EQ(effect.n, 21u);
  EXPECT_EQ(effect.gained, 1u);
  EXPECT_EQ(effect.lost, 7u);
  EXPECT_DOUBLE_EQ(effect.mean_arm, 2 / 21.0);
  EXPECT_DOUBLE_EQ(effect.mean_reference, 8 / 21.0);
  EXPECT_DOUBLE_EQ(effect.difference, -6 / 21.0);
  EXPECT_DOUBLE_EQ(effect.p_value.value(), 2 * (1 + 8) / 256.0);
  // (2 − 8) / 23 ± 1.96·√((10 / 23 − 36 / 529) / 23)
  const double error = std::sqrt((10 / 23.0 - 36 / 529.0) / 23);
  EXPECT_DOUBLE_EQ(effect.standard_error.value(), error);
  EXPECT_NEAR(effect.interval->low, -6 / 23.0 - 1.959963984540054 * error, 1e-15);
  EXPECT_NEAR(effect.interval->high, -6 / 23.0 + 1.959963984540054 * error, 1e-15);
}

TEST(PairedShares, RecordsThatAllAgreeLeaveAnInterval) {
  const PairedEffect effect = share_effect(50, 0, 0);
  EXPECT_EQ(effect.difference, 0);
  EXPECT_EQ(effect.p_value, 1);
  EXPECT_LT(effect.interval->low, 0);
  EXPECT_GT(effect.interval->high, 0);
  EXPECT_GT(effect.smallest_detectable.value(), 0);
}

TEST(PairedShares, IntervalsHoldTheDifferenceAndStayWithinBounds) {
  for (const std::size_t n : {1, 2, 5, 30})
    for (std::size_t gained = 0; gained <= n; ++gained)
      for (std::size_t lost = 0; gained + lost <= n; ++lost) {
        const PairedEffect effect = share_effect(n, gained, lost);
        EXPECT_LE(effect.interval->low, effect.difference);
        EXPECT_GE(effect.interval->high, effect.difference);
        EXPECT_GE(effect.interval->low, -1);
        EXPECT_LE(effect.interval->high, 1);
        EXPECT_LT(effect.interval->low, effect.interval->high);
      }
}

TEST(PairedShares, AsManyGainedAsLostIsNoEvidence) {
  EXPECT_EQ(mcnemar_p_value(0, 0), 1);
  EXPECT_EQ(mcnemar_p_value(7, 7), 1);
  EXPECT_EQ(mcnemar_p_value(3, 4), 1);
  EXPECT_DOUBLE_EQ(mcnemar_p_value(0, 6), 2.0 / 64);
  EXPECT_EQ(mcnemar_p_value(6, 0), mcnemar_p_value(0, 6));
}

TEST(PairedShares, WhatNoDifferenceCouldShowIsAbsent) {
  // Five records that all differ one way have p = 2 / 32.
  EXPECT_FALSE(share_effect(5, 5, 0).smallest_detectable);
  EXPECT_TRUE(share_effect(6, 6, 0).smallest_detectable);
  EXPECT_FALSE(share_effect(6, 6, 0, 2).smallest_detectable);
  EXPECT_EQ(share_effect(1, 1, 0).p_value, 1);
}

/// The power of McNemar's exact test, a term for each pair of counts.
double naive_mcnemar_power(std::size_t n, double gain, double loss, double level) {
  double power = 0;
  for (std::size_t gained = 0; gained <= n; ++gained)
    for (std::size_t lost = 0; gained + lost <= n; ++lost) {
      const std::size_t same = n - gained - lost;
      if (mcnemar_p_value(gained, lost) > level || (loss <= 0 && lost > 0)) continue;
      const auto log_choices = [](std::size_t k) {
        return std::lgamma(static_cast<double>(k) + 1);
      };
      const auto times = [](std::size_t k, double p) {
        return k == 0 ? 0 : static_cast<double>(k) * std::log(p);
      };
      power +=
          std::exp(log_choices(n) - log_choices(gained) - log_choices(lost) - log_choices(same) +
                   times(gained, gain) + times(lost, loss) + times(same, 1 - gain - loss));
    }
  return power;
}

TEST(PairedShares, TheSmallestDetectableDifferenceHasEightyPercentPower) {
  const std::size_t cases[][4] = {{30, 0, 0, 1},   {30, 6, 9, 1},   {30, 6, 9, 24},
                                  {80, 30, 40, 3}, {80, 40, 40, 1}, {80, 0, 1, 24}};
  for (const auto& [n, gained, lost, family] : cases) {
    const double smallest = share_effect(n, gained, lost, family).smallest_detectable.value();
    const auto count = static_cast<double>(n);
    const double seen = (static_cast<double>(gained + lost) + 2) / (count + 2);
    const double discordance = std::max(seen, smallest);
    const double loss = discordance > smallest ? (discordance - smallest) / 2 : 0;
    EXPECT_NEAR(
        naive_mcnemar_power(n, discordance - loss, loss, 0.05 / static_cast<double>(family)), 0.8,
        1e-9)
        << n << " " << gained << " " << lost << " " << family;
  }
}

// --- Means ---------------------------------------------------------------------------------------

TEST(PairedMeans, KnownValues) {
  // Differences 1, 2, 3, 4; Student's t of 3 degrees of freedom has its 0.975 quantile at 3.1824.
  const PairedEffect effect = mean_effect({11, 12, 13, 14}, {10, 10, 10, 10});
  const double error = std::sqrt(5.0 / 3) / 2;
  EXPECT_DOUBLE_EQ(effect.mean_arm, 12.5);
  EXPECT_DOUBLE_EQ(effect.mean_reference, 10);
  EXPECT_DOUBLE_EQ(effect.difference, 2.5);
  EXPECT_NEAR(effect.standard_error.value(), error, 1e-15);
  EXPECT_NEAR(effect.interval->low, 2.5 - 3.182446305283708 * error, 1e-12);
  EXPECT_NEAR(effect.interval->high, 2.5 + 3.182446305283708 * error, 1e-12);
  EXPECT_EQ(effect.gained + effect.lost + effect.non_finite, 0u);
}

TEST(PairedMeans, ThePValueOfOneDegreeOfFreedomIsAnAngle) {
  // Student's t of one degree of freedom is Cauchy's distribution.
  EXPECT_NEAR(paired_t_p_value(1, 1, 2), 0.5, 1e-15);
  EXPECT_NEAR(paired_t_p_value(-3, 1, 2), 1 - 2 * std::atan(3) / std::acos(-1), 1e-15);
}

TEST(PairedMeans, DifferencesThatAreAllEqualAreAPoint) {
  const PairedEffect none = mean_effect({0.1, 0.2, 0.3}, {0.1, 0.2, 0.3});
  EXPECT_EQ(none.p_value, 1);
  EXPECT_EQ(none.interval->low, 0);
  EXPECT_EQ(none.interval->high, 0);
  EXPECT_EQ(none.smallest_detectable, 0);
  // A mean of so many 0.1 is not 0.1 but for the rounding.
  const PairedEffect some = mean_effect(Scores(1000, 0.1), Scores(1000, 0));
  EXPECT_EQ(some.p_value, 0);
  EXPECT_EQ(some.difference, 0.1);
  EXPECT_EQ(some.interval->low, 0.1);
  EXPECT_EQ(some.interval->high, 0.1);
}

TEST(PairedMeans, OneRecordTellsNothingOfItsError) {
  const PairedEffect effect = mean_effect({3}, {1});
  EXPECT_EQ(effect.difference, 2);
  EXPECT_FALSE(effect.standard_error || effect.interval || effect.p_value ||
               effect.smallest_detectable);
}

TEST(PairedMeans, DifferencesThatAreNotFiniteAreCountedAndLeaveNothingEstimated) {
  const PairedEffect fallen = mean_effect({-kInfinity, -1, -2, -3}, {-1, -2, -2, -2});
  EXPECT_EQ(fallen.non_finite, 1u);
  EXPECT_EQ(fallen.mean_arm, -kInfinity);
  EXPECT_EQ(fallen.difference, -kInfinity);
  EXPECT_FALSE(fallen.standard_error || fallen.interval || fallen.p_value ||
               fallen.smallest_detectable);
  const PairedEffect both = mean_effect({-kInfinity, -1}, {-kInfinity, -kInfinity});
  EXPECT_EQ(both.non_finite, 2u);
  EXPECT_TRUE(std::isnan(both.difference));
  EXPECT_EQ(mean_effect({std::nan(""), 1}, {0, 0}).non_finite, 1u);
  // Equal differences, but no point.
  EXPECT_FALSE(mean_effect({-kInfinity, -kInfinity}, {1, 2}).p_value);
}

TEST(PairedMeans, SquaresThatOverflowLeaveNothingEstimated) {
  EXPECT_FALSE(mean_effect({1e200, -1e200, 3}, {0, 0, 0}).interval);
  EXPECT_EQ(mean_effect({1e308, 1}, {-1e308, 0}).non_finite, 1u);
}

TEST(PairedMeans, TheSmallestDetectableDifferenceScalesWithTheSpread) {
  const Scores arm{1, 5, 2, 8, 3}, reference{2, 3, 3, 1, 0};
  const double smallest = mean_effect(arm, reference).smallest_detectable.value();
  Scores doubled_arm = arm, doubled_reference = reference;
  for (double& value : doubled_arm) value *= 2;
  for (double& value : doubled_reference) value *= 2;
  EXPECT_NEAR(mean_effect(doubled_arm, doubled_reference).smallest_detectable.value(), 2 * smallest,
              1e-12);
  EXPECT_GT(mean_effect(arm, reference, 24).smallest_detectable.value(), smallest);
}

TEST(PairedMeans, TwoRecordsInAHugeFamilyMeetTheSeriesWhereTheLimitTakesOver) {
  const Scores arm{0, 2}, reference{0, 0};
  // Both levels have their critical value near 10 000, where the limit takes over.
  const double before = mean_effect(arm, reference, 785).smallest_detectable.value();
  const double after = mean_effect(arm, reference, 786).smallest_detectable.value();
  EXPECT_NEAR(after / before, 786.0 / 785, 1e-6);
  EXPECT_TRUE(
      std::isfinite(mean_effect(arm, reference, 1'000'000'000).smallest_detectable.value()));
}

// --- Both ----------------------------------------------------------------------------------------

TEST(PairedEffects, SwappedArmsMirrorAndOrderDoesNotMatter) {
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal;
  for (const EffectKind kind : {EffectKind::kShare, EffectKind::kMean})
    for (const std::size_t n : {8, 30, 101}) {
      Scores arm(n), reference(n);
      const auto draw = [&] {
        const double value = normal(random);
        return kind == EffectKind::kMean ? value : value > 0 ? 1.0 : 0.0;
      };
      std::generate(arm.begin(), arm.end(), draw);
      std::generate(reference.begin(), reference.end(), draw);
      const PairedEffect effect = paired_effect(arm, reference, kind, 3);
      expect_same(paired_effect(reference, arm, kind, 3), mirrored(effect), 1e-14);

      std::vector<std::size_t> order(n);
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::shuffle(order.begin(), order.end(), random);
      Scores other_arm, other_reference;
      for (const std::size_t record : order) {
        other_arm.push_back(arm[record]);
        other_reference.push_back(reference[record]);
      }
      expect_same(paired_effect(other_arm, other_reference, kind, 3), effect, 1e-12);
    }
}

TEST(PairedEffects, TheFamilyMovesOnlyWhatIsDetectable) {
  const PairedEffect alone = share_effect(40, 3, 9), among = share_effect(40, 3, 9, 24);
  EXPECT_EQ(alone.p_value, among.p_value);
  EXPECT_EQ(alone.interval->low, among.interval->low);
  EXPECT_LT(alone.smallest_detectable.value(), among.smallest_detectable.value());
}

TEST(PairedEffects, RefusesWhatCannotBeCompared) {
  for (const EffectKind kind : {EffectKind::kShare, EffectKind::kMean}) {
    EXPECT_THROW(paired_effect({1, 0}, {1}, kind), UsageError);
    EXPECT_THROW(paired_effect({}, {}, kind), UsageError);
    EXPECT_THROW(paired_effect({1}, {1}, kind, 0), UsageError);
  }
  EXPECT_THROW(paired_effect({0.5, 0}, {1, 1}, EffectKind::kShare), UsageError);
  EXPECT_THROW(paired_effect({1, 0}, {1, 2}, EffectKind::kShare), UsageError);
  EXPECT_THROW(paired_effect({1, std::nan("")}, {1, 1}, EffectKind::kShare), UsageError);
}

// --- Holm ----------------------------------------------------------------------------------------

TEST(Holm, KnownValues) {
  EXPECT_EQ(holm({}), Scores{});
  EXPECT_EQ(holm({0.5}), Scores{0.5});
  // 4·0.01, then 3·0.02 = 0.06, 2·0.03 = 0.06 and 0.5.
  const Scores adjusted = holm({0.02, 0.01, 0.5, 0.03});
  EXPECT_DOUBLE_EQ(adjusted[1], 0.04);
  EXPECT_DOUBLE_EQ(adjusted[0], 0.06);
  EXPECT_DOUBLE_EQ(adjusted[3], 0.06);
  EXPECT_DOUBLE_EQ(adjusted[2], 0.5);
  EXPECT_EQ(holm({0.9, 1, 0}), (Scores{1, 1, 0}));
}

/// The largest, over hypotheses of no larger p, of p times how many hypotheses are not yet decided.
Scores naive_holm(const Scores& p) {
  Scores adjusted(p.size(), 0);
  for (std::size_t i = 0; i < p.size(); ++i)
    for (std::size_t j = 0; j < p.size(); ++j)
      if (p[j] <= p[i]) {
        const auto before = std::count_if(p.begin(), p.end(), [&](double q) { return q < p[j]; });
        const auto undecided = static_cast<double>(p.size()) - static_cast<double>(before);
        adjusted[i] = std::max(adjusted[i], std::min(1.0, undecided * p[j]));
      }
  return adjusted;
}

TEST(Holm, AgreesWithItsDefinitionAndKeepsOrder) {
  std::mt19937_64 random(5);
  for (std::size_t size = 1; size < 40; ++size) {
    Scores p(size);
    // A few equal ones among them.
    for (double& value : p) value = std::pow(static_cast<double>(random() % 50) / 49, 3);
    const Scores adjusted = holm(p);
    const Scores expected = naive_holm(p);
    for (std::size_t i = 0; i < size; ++i) {
      EXPECT_DOUBLE_EQ(adjusted[i], expected[i]);
      EXPECT_GE(adjusted[i], p[i]);
      EXPECT_LE(adjusted[i], 1);
      for (std::size_t j = 0; j < size; ++j) EXPECT_TRUE(p[i] > p[j] || adjusted[i] <= adjusted[j]);
    }
  }
}

TEST(Holm, RefusesWhatIsNoPValue) {
  EXPECT_THROW(holm({0.1, std::nan("")}), UsageError);
  EXPECT_THROW(holm({-0.1}), UsageError);
  EXPECT_THROW(holm({1.5}), UsageError);
}

// --- Simulations
// -----------------------------------------------------------------------------------

constexpr std::size_t kArms = 24;
constexpr double kLevel = 0.05;

double standard_error_of_share(double share, double trials) {
  return std::sqrt(share * (1 - share) / trials);
}

struct FlagRates {
  double any = 0;     ///< Of families: one arm or more flagged after Holm.
  double single = 0;  ///< Of arms: p of at most 5 %, uncorrected.
};

/// `draw_family` makes the p values of kArms arms without effect.
FlagRates flag_rates(std::size_t families, const std::function<Scores()>& draw_family) {
  FlagRates rates;
  for (std::size_t family = 0; family < families; ++family) {
    const Scores p = draw_family();
    const Scores adjusted = holm(p);
    const auto flagged = [](double value) { return value <= kLevel; };
    if (std::any_of(adjusted.begin(), adjusted.end(), flagged)) rates.any += 1;
    rates.single += static_cast<double>(std::count_if(p.begin(), p.end(), flagged));
  }
  rates.any /= static_cast<double>(families);
  rates.single /= static_cast<double>(families * kArms);
  return rates;
}

void expect_few_false_flags(std::size_t families, const FlagRates& rates) {
  // Arms of a family share their reference, so families count as trials, not arms.
  const double slack = 3 * standard_error_of_share(kLevel, static_cast<double>(families));
  EXPECT_LE(rates.any, kLevel + slack);
  EXPECT_LE(rates.single, kLevel + slack);
}

/// How many of `n` records an arm gains and loses, each with its probability.
std::pair<std::size_t, std::size_t> draw_counts(std::mt19937_64& random, std::size_t n, double gain,
                                                double loss) {
  std::size_t gained = 0, lost = 0;
  for (std::size_t record = 0; record < n; ++record) {
    const double value = static_cast<double>(random() >> 11) * 0x1p-53;
    if (value < gain)
      ++gained;
    else if (value < gain + loss)
      ++lost;
  }
  return {gained, lost};
}

TEST(PairedShares, FlagNoMoreThanTheLevelWhereNothingIsTheMatter) {
  constexpr std::size_t kFamilies = 3000;
  std::mt19937_64 random(1);
  for (const std::size_t n : {30, 200})
    for (const double discordance : {0.03, 0.15, 0.5}) {
      SCOPED_TRACE(testing::Message() << n << " records, " << discordance << " of them differ");
      expect_few_false_flags(
          kFamilies, flag_rates(kFamilies, [&] {
            // The reference has so many right; an arm flips a record whichever way it was.
            const std::size_t right = draw_counts(random, n, 0.5, 0).first;
            Scores p;
            for (std::size_t arm = 0; arm < kArms; ++arm) {
              const std::size_t lost = draw_counts(random, right, discordance, 0).first;
              const std::size_t gained = draw_counts(random, n - right, discordance, 0).first;
              p.push_back(mcnemar_p_value(gained, lost));
            }
            return p;
          }));
    }
}

/// p values of arms that differ from their reference by noise alone.
Scores p_values_of_noise(std::size_t n, const std::function<double()>& draw) {
  Scores reference(n), differences(n), p;
  std::generate(reference.begin(), reference.end(), draw);
  for (std::size_t arm = 0; arm < kArms; ++arm) {
    for (std::size_t record = 0; record < n; ++record)
      differences[record] = draw() - reference[record];
    p.push_back(paired_t_p_value(mean(differences), standard_error_of_mean(differences), n));
  }
  return p;
}

TEST(PairedMeans, FlagNoMoreThanTheLevelWhereNothingIsTheMatter) {
  constexpr std::size_t kFamilies = 1500;
  std::mt19937_64 random(2);
  std::normal_distribution<double> normal;
  std::exponential_distribution<double> skewed;
  for (const std::size_t n : {30, 200}) {
    SCOPED_TRACE(n);
    const FlagRates rates =
        flag_rates(kFamilies, [&] { return p_values_of_noise(n, [&] { return normal(random); }); });
    expect_few_false_flags(kFamilies, rates);
    // With normal scores the level is met, not only kept.
    EXPECT_NEAR(rates.single, kLevel, 3 * standard_error_of_share(kLevel, kFamilies));
    expect_few_false_flags(kFamilies, flag_rates(kFamilies, [&] {
                             return p_values_of_noise(n, [&] { return skewed(random); });
                           }));
  }
}

// What the header warns of: a mean of 0 that a long tail hides from small samples.
TEST(PairedMeans, SkewedDifferencesNeedManyRecords) {
  constexpr std::size_t kFamilies = 300;
  std::mt19937_64 random(6);
  std::exponential_distribution<double> tail;
  const auto rates = [&](std::size_t n) {
    return flag_rates(kFamilies, [&] {
      Scores differences(n), p;
      for (std::size_t arm = 0; arm < kArms; ++arm) {
        for (double& value : differences) value = tail(random) - 1;
        p.push_back(paired_t_p_value(mean(differences), standard_error_of_mean(differences), n));
      }
      return p;
    });
  };
  EXPECT_GT(rates(30).any, 0.15);
  EXPECT_LT(rates(1000).any, 0.12);
}

/// Of `repetitions` samples with a true difference: how many intervals hold it, and how many p
/// values flag it.
struct Repeated {
  double covered = 0, flagged = 0;
};

Repeated repeat(std::size_t repetitions, double truth, double level,
                const std::function<PairedEffect()>& draw) {
  Repeated rates;
  for (std::size_t repetition = 0; repetition < repetitions; ++repetition) {
    const PairedEffect effect = draw();
    if (effect.interval->low <= truth && truth <= effect.interval->high) rates.covered += 1;
    if (effect.p_value.value() <= level) rates.flagged += 1;
  }
  rates.covered /= static_cast<double>(repetitions);
  rates.flagged /= static_cast<double>(repetitions);
  return rates;
}

/// What paired_effect says of shares depends on the counts alone: each is asked for once.
class ShareEffects {
 public:
  explicit ShareEffects(std::size_t n) : n_(n) {}
  const PairedEffect& operator()(std::pair<std::size_t, std::size_t> counts) {
    const auto found = known_.find(counts);
    if (found != known_.end()) return found->second;
    return known_.emplace(counts, share_effect(n_, counts.first, counts.second)).first->second;
  }

 private:
  std::size_t n_;
  std::map<std::pair<std::size_t, std::size_t>, PairedEffect> known_;
};

TEST(PairedShares, IntervalsHoldTheTruthAndPlantedEffectsAreFound) {
  constexpr std::size_t kRepetitions = 3000;
  std::mt19937_64 random(3);
  const std::size_t cases[][3] = {{30, 4, 4}, {200, 10, 10}, {200, 2, 1}, {100, 15, 25}};
  for (const auto& [n, gained, lost] : cases) {
    SCOPED_TRACE(testing::Message() << n << " " << gained << " " << lost);
    const PairedEffect seen = share_effect(n, gained, lost, kArms);
    const double planted = seen.smallest_detectable.value();
    const double discordance =
        std::max(planted, (static_cast<double>(gained + lost) + 2) / (static_cast<double>(n) + 2));
    const double gain = (discordance + planted) / 2;
    ShareEffects effects(n);
    const Repeated rates = repeat(kRepetitions, planted, kLevel / kArms, [&] {
      return effects(draw_counts(random, n, gain, discordance - gain));
    });
    EXPECT_NEAR(rates.flagged, 0.8, 3 * standard_error_of_share(0.8, kRepetitions));
    EXPECT_GE(rates.covered, 0.93);
  }
}

TEST(PairedMeans, IntervalsHoldTheTruthAndPlantedEffectsAreFound) {
  constexpr std::size_t kRepetitions = 1500;
  std::mt19937_64 random(4);
  std::normal_distribution<double> normal;
  for (const std::size_t n : {5, 30, 200}) {
    SCOPED_TRACE(n);
    // Differences of mean 0 and standard deviation 1 exactly: ± a, and 0 where n is odd.
    Scores spread(n, 0);
    const auto count = static_cast<double>(n);
    const double height = std::sqrt((count - 1) / (n % 2 == 0 ? count : count - 1));
    for (std::size_t record = 0; record + 1 < n; record += 2) {
      spread[record] = height;
      spread[record + 1] = -height;
    }
    const Scores reference(n, 0);
    const double planted = mean_effect(spread, reference, kArms).smallest_detectable.value();
    Scores arm(n);
    const Repeated rates = repeat(kRepetitions, planted, kLevel / kArms, [&] {
      for (double& value : arm) value = planted + normal(random);
      return mean_effect(arm, reference);
    });
    EXPECT_NEAR(rates.flagged, 0.8, 3 * standard_error_of_share(0.8, kRepetitions));
    EXPECT_NEAR(rates.covered, 0.95, 3 * standard_error_of_share(0.95, kRepetitions));
  }
}

}  // namespace
}  // namespace suture::evaluation
