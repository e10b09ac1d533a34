#include "evaluate/paired_effect.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <utility>

#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/non_central_t.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/tools/toms748_solve.hpp>

#include "suture/error.h"

namespace suture::evaluation {
namespace {

namespace math = boost::math;
namespace policies = boost::math::policies;

// Arguments are checked here, so nothing is thrown there; double is precise enough, and faster.
using Quiet = policies::policy<
    policies::domain_error<policies::ignore_error>, policies::pole_error<policies::ignore_error>,
    policies::overflow_error<policies::ignore_error>,
    policies::underflow_error<policies::ignore_error>,
    policies::denorm_error<policies::ignore_error>,
    policies::evaluation_error<policies::ignore_error>,
    policies::rounding_error<policies::ignore_error>,
    policies::indeterminate_result_error<policies::ignore_error>, policies::promote_double<false>>;
using Binomial = math::binomial_distribution<double, Quiet>;
using ChiSquared = math::chi_squared_distribution<double, Quiet>;
using NoncentralT = math::non_central_t_distribution<double, Quiet>;
using StudentsT = math::students_t_distribution<double, Quiet>;

constexpr double kLevel = 0.05;
constexpr double kPower = 0.8;

[[noreturn]] void refuse(std::string found, std::string expected) {
  throw UsageError({{}, {}, std::move(found), std::move(expected), {}});
}

/// Where `power`, which grows from less than kPower at 0, reaches it; `high` is beyond.
double reaches_power(const std::function<double(double)>& power, double high) {
  std::uintmax_t steps = 100;
  const auto [below, above] =
      math::tools::toms748_solve([&](double effect) { return power(effect) - kPower; }, 0.0, high,
                                 math::tools::eps_tolerance<double>(44), steps, Quiet());
  return below + (above - below) / 2;
}

// --- Means ---------------------------------------------------------------------------------------

/// The smallest detectable mean of `n` differences, in their standard deviations.
double detectable_by_t_test(std::size_t n, double level) {
  const auto count = static_cast<double>(n);
  const double freedom = count - 1;
  const double critical = quantile(complement(StudentsT(freedom), level / 2));
  // There (two or three records, a large family) the series takes seconds, and the noise of the
  // mean is nothing beside that of the standard deviation.
  if (critical > 1e4)
    return critical * std::sqrt(quantile(ChiSquared(freedom), kPower) / freedom / count);
  const auto power = [&](double noncentrality) {
    const NoncentralT t(freedom, noncentrality);
    return cdf(complement(t, critical)) + cdf(t, -critical);
  };
  double high = critical;
  while (power(high) < kPower) high *= 2;
  return reaches_power(power, high) / std::sqrt(count);
}

void estimate_mean(PairedEffect& effect, const std::vector<double>& differences, double level) {
  effect.non_finite = static_cast<std::size_t>(std::count_if(
      differences.begin(), differences.end(), [](double value) { return !std::isfinite(value); }));
  if (effect.non_finite > 0) {
    effect.difference = effect.mean_arm - effect.mean_reference;
    return;
  }
  const bool all_equal = std::all_of(differences.begin(), differences.end(),
                                     [&](double value) { return value == differences.front(); });
  // The rounding of a mean would make a spread of none.
  effect.difference = all_equal ? differences.front() : mean(differences);
  const double error = all_equal ? 0 : standard_error_of_mean(differences);
  if (effect.n < 2 || !std::isfinite(error)) return;

  const auto count = static_cast<double>(effect.n);
  const double half = quantile(complement(StudentsT(count - 1), kLevel / 2)) * error;
  effect.standard_error = error;
  effect.interval = Interval{effect.difference - half, effect.difference + half};
  effect.p_value = paired_t_p_value(effect.difference, error, effect.n);
  effect.smallest_detectable =
      error == 0 ? 0 : detectable_by_t_test(effect.n, level) * error * std::sqrt(count);
}

// --- Shares --------------------------------------------------------------------------------------

/// The power of McNemar's exact test over samples of a size, at a level.
class McNemarPower {
 public:
  McNemarPower(std::size_t n, double level) : n_(static_cast<double>(n)) {
    flagged_.reserve(n + 1);
    std::size_t flagged = 0;
    for (std::size_t discordant = 0; discordant <= n; ++discordant) {
      // One record more that differs allows one more on the lesser side, or none.
      if (2 * flagged < discordant && mcnemar_p_value(flagged, discordant - flagged) <= level)
        ++flagged;
      flagged_.push_back(flagged);
    }
  }

  /// For a true difference, where a share of `discordance` (at least the difference) of records
  /// differs.
  double operator()(double difference, double discordance) const {
    discordance = std::min(1.0, discordance);
    const Binomial discordant(n_, discordance);
    const double gain = std::min(1.0, (1 + difference / discordance) / 2);
    // What lies farther out has less than 1e-15 of the probability (Chernoff).
    const double reach = 9 * std::sqrt(n_ * discordance) + 40;
    const double centre = n_ * discordance;
    const auto first = static_cast<std::size_t>(std::max(1.0, std::floor(centre - reach)));
    const auto last = static_cast<std::size_t>(std::min(n_, std::ceil(centre + reach)));
    double power = 0;
    for (std::size_t count = first; count <= last; ++count) {
      if (flagged_[count] == 0) continue;
      const auto trials = static_cast<double>(count);
      const auto most = static_cast<double>(flagged_[count] - 1);
      power += pdf(discordant, trials) *
               (cdf(Binomial(trials, gain), most) + cdf(Binomial(trials, 1 - gain), most));
    }
    return power;
  }

 private:
  double n_;
  /// For each number of discordant records: how many outcomes of the lesser side, from 0 on, flag.
  std::vector<std::size_t> flagged_;
};

std::optional<double> detectable_by_mcnemar(std::size_t n, double discordance, double level) {
  const McNemarPower power_at(n, level);
  const auto power = [&](double difference) {
    return power_at(difference, std::max(discordance, difference));
  };
  if (power(1) < kPower) return std::nullopt;
  return reaches_power(power, 1);
}

void estimate_share(PairedEffect& effect, const std::vector<double>& differences, double level) {
  effect.gained = static_cast<std::size_t>(std::count(differences.begin(), differences.end(), 1.0));
  effect.lost = static_cast<std::size_t>(std::count(differences.begin(), differences.end(), -1.0));
  effect.difference = mean(differences);

  const double smoothed = static_cast<double>(effect.n) + 2;
  const double p12 = (static_cast<double>(effect.gained) + 1) / smoothed;
  const double p21 = (static_cast<double>(effect.lost) + 1) / smoothed;
  const double centre = p12 - p21;
  const double error = std::sqrt((p12 + p21 - centre * centre) / smoothed);
  effect.standard_error = error;
  effect.interval = Interval{std::max(-1.0, centre - kNormal95 * error),
                             std::min(1.0, centre + kNormal95 * error)};
  effect.p_value = mcnemar_p_value(effect.gained, effect.lost);
  effect.smallest_detectable = detectable_by_mcnemar(effect.n, p12 + p21, level);
}

void check_shares(const std::vector<double>& scores) {
  for (const double score : scores)
    if (score != 0 && score != 1) refuse("a score of " + std::to_string(score), "0 or 1");
}

}  // namespace

PairedEffect paired_effect(const std::vector<double>& arm, const std::vector<double>& reference,
                           EffectKind kind, std::size_t family) {
  if (arm.size() != reference.size())
    refuse(std::to_string(arm.size()) + " scores against " + std::to_string(reference.size()),
           "a pair for each record");
  if (arm.empty()) refuse("no records to compare", "one at least");
  if (family == 0) refuse("a family of no comparisons", "one at least");
  std::vector<double> differences(arm.size());
  std::transform(arm.begin(), arm.end(), reference.begin(), differences.begin(), std::minus<>());

  PairedEffect effect;
  effect.n = arm.size();
  effect.mean_arm = mean(arm);
  effect.mean_reference = mean(reference);
  const double level = kLevel / static_cast<double>(family);
  if (kind == EffectKind::kMean) {
    estimate_mean(effect, differences, level);
  } else {
    check_shares(arm);
    check_shares(reference);
    estimate_share(effect, differences, level);
  }
  return effect;
}

double mcnemar_p_value(std::size_t gained, std::size_t lost) {
  if (gained == lost) return 1;
  const Binomial fair(static_cast<double>(gained + lost), 0.5);
  return std::min(1.0, 2 * cdf(fair, static_cast<double>(std::min(gained, lost))));
}

double paired_t_p_value(double difference, double standard_error, std::size_t n) {
  if (standard_error == 0) return difference == 0 ? 1 : 0;
  const StudentsT t(static_cast<double>(n) - 1);
  return 2 * cdf(complement(t, std::abs(difference) / standard_error));
}

std::vector<double> holm(const std::vector<double>& p_values) {
  for (const double p : p_values)
    if (!(p >= 0 && p <= 1)) refuse("a p value of " + std::to_string(p), "one from 0 to 1");
  std::vector<std::size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });

  std::vector<double> adjusted(p_values.size());
  double largest = 0;
  auto hypotheses = static_cast<double>(p_values.size());
  for (const std::size_t index : order) {
    largest = std::max(largest, std::min(1.0, hypotheses * p_values[index]));
    adjusted[index] = largest;
    hypotheses -= 1;
  }
  return adjusted;
}

}  // namespace suture::evaluation
