#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/run_options.h"

namespace suture {

/// What to compute of a matrix's singular value decomposition.
struct LeadingSvdOptions {
  std::int64_t rank = 32;
  std::uint64_t seed = 0;
  std::int64_t exact_side = 256;
  bool with_bounds = true;          ///< Else `error_bound` is the certain one, without its cost.
  bool with_vectors = true;         ///< Else `left` and `right` are undefined.
  const RunOptions* run = nullptr;  ///< Whose cancel is asked between products.
};

/// The leading part of a singular value decomposition, as include/suture/spectrum.h describes it.
struct LeadingSvd {
  bool exact = false;
  /// All values that were computed, falling: every one when exact, else more than `rank`, the later
  /// ones less accurate. No larger than the true ones.
  std::vector<double> values;
  at::Tensor left, right;  ///< m x rank and n x rank, float64: the first singular vectors.
  double squares = 0;      ///< Squared Frobenius norm of the matrix.
  double certain_error_bound = 0;
  double error_bound = 0;      ///< True s_i <= sqrt(values_i^2 + error_bound^2).
  double largest_at_most = 0;  ///< Upper bound of s_1.
  double failure_probability = 0;
};

/// Of a float32 or float64 matrix without NaN and infinities, on its device. Throws Interrupted.
LeadingSvd leading_svd(const at::Tensor& matrix, const LeadingSvdOptions& options);

}  // namespace suture
