#pragma once

#include <cstddef>
#include <vector>

namespace suture::evaluation {

/// A range that holds the true value in 95 of 100 repetitions, unless another level was asked for.
struct Interval {
  double low = 0, high = 0;
};

/// The 0.975 quantile of the normal distribution.
constexpr double kNormal95 = 1.959963984540054;

double mean(const std::vector<double>& values);

/// Sample standard deviation (n − 1) over √n; 0 for fewer than two values, of which nothing is
/// known.
double standard_error_of_mean(const std::vector<double>& values);

/// Wilson's score interval of a share of `successes` in `trials` (> 0).
Interval wilson_interval(double successes, double trials, double z = kNormal95);

/// Σ amounts / Σ weights and its standard error by the delta method, records being independent.
struct RatioEstimate {
  double ratio = 0, standard_error = 0;
};
RatioEstimate ratio_estimate(const std::vector<double>& amounts,
                             const std::vector<double>& weights);

}  // namespace suture::evaluation
