#pragma once

#include <cstdint>
#include <vector>

#include "suture/spectrum.h"

namespace suture {

/// What is known of a matrix's singular values s_1 >= s_2 >= ...
struct KnownSpectrum {
  std::vector<double> low, high;  ///< low[i] <= s_i <= high[i] for the first of them; falling.
  double squares = 0;             ///< Sum of all s_i^2.
  std::int64_t remaining = 0;     ///< How many more there are,
  double remaining_at_most = 0;   ///< each no larger than this.
};

/// Where sum s^2 / s_1^2 lies; 0 for zeros.
Interval stable_rank_of(const KnownSpectrum& known);

/// Where exp of the entropy of s_i / sum s lies; 0 for zeros.
///
/// Entropy falls when a distribution majorises another, so it is least for one whose partial sums
/// are as large as what is known allows, and largest for one whose partial sums are as small.
Interval effective_rank_of(const KnownSpectrum& known);

}  // namespace suture
