#pragma once

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

#include "suture/run_options.h"

namespace suture {

/// Which rank a matrix is brought to: at most `rank`, and with `energy` the smallest that keeps
/// this share of the squared Frobenius norm. At least one of them.
struct LowRankOptions {
  std::optional<std::int64_t> rank;
  std::optional<double> energy;
  std::uint64_t seed = 0;
  /// Whose cancel is asked between products, and on whose threads they run; null: on all cores.
  const RunOptions* run = nullptr;
};

/// A matrix of m rows and n columns, nearly: up * down, each with the root of the singular values.
struct LowRank {
  at::Tensor up, down;  // m x r and r x n, float64; of no elements for a matrix of zeros
  double squares = 0;   ///< Squared Frobenius norm of the matrix.

  std::int64_t rank() const { return up.size(1); }
};

/// Of a float32 or float64 matrix without NaN and infinities, on its device. Without a rank, and
/// where that is no less than a sixth of the smaller side less 32, from all of a'a in float64; else
/// from a sketch, at about 7 (rank + 10) fused products an entry. Memory: beside the matrix some
/// 8 (rank + 10) columns and rows like its own; on a GPU once more the matrix, in float64. Safe to
/// call from several threads. Throws Interrupted.
LowRank low_rank(const at::Tensor& matrix, const LowRankOptions& options);

/// What a product in place of a matrix leaves over.
struct Leftover {
  double squares = 0;         ///< |D - B A|^2.
  double merged_squares = 0;  ///< |round(W + B A) - (W + D)|^2, rounded to W's dtype; 0 without W.
};

/// Of the factors as they are stored, in float64, some rows after the others. `base` may be
/// undefined; all are on one device. `run` may be null. Throws Interrupted.
Leftover leftover_of(const at::Tensor& matrix, const at::Tensor& up, const at::Tensor& down,
                     const at::Tensor& base, const RunOptions* run = nullptr);

}  // namespace suture
