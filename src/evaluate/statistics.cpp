#include "evaluate/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace suture::evaluation {
namespace {

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

double mean(const std::vector<double>& values) {
  return sum(values) / static_cast<double>(values.size());
}

double standard_error_of_mean(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double centre = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - centre) * (value - centre);
  const auto count = static_cast<double>(values.size());
  return std::sqrt(squares / (count - 1)) / std::sqrt(count);
}

Interval wilson_interval(double successes, double trials, double z) {
  const double share = successes / trials;
  const double widening = z * z / trials;
  const double centre = (share + widening / 2) / (1 + widening);
  const double half =
      z / (1 + widening) * std::sqrt(share * (1 - share) / trials + widening / (4 * trials));
  // At the ends the formula gives the bound itself but for its rounding.
  return {successes <= 0 ? 0 : std::max(0.0, centre - half),
          successes >= trials ? 1 : std::min(1.0, centre + half)};
}

RatioEstimate ratio_estimate(const std::vector<double>& amounts,
                             const std::vector<double>& weights) {
  const double total = sum(weights);
  RatioEstimate result{sum(amounts) / total, 0};
  if (amounts.size() < 2) return result;
  double squares = 0;
  for (std::size_t i = 0; i < amounts.size(); ++i) {
    const double residual = amounts[i] - result.ratio * weights[i];
    squares += residual * residual;
  }
  const auto count = static_cast<double>(amounts.size());
  result.standard_error = std::sqrt(squares * count / (count - 1)) / total;
  return result;
}

}  // namespace suture::evaluation
