#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <c10/core/Device.h>

#include "suture/analysis.h"
#include "suture/run_options.h"

namespace suture {

/// What spectra are to be computed, and where.
struct SpectrumOptions {
  std::int64_t rank = 32;  ///< Leading singular values, and directions of the subspaces; 1 or more.
  std::uint64_t seed = 0;  ///< Of the random sketch.
  /// A matrix whose smaller side is at most this gets all of its singular values, in float64; so
  /// does one that a sketch would not be smaller than.
  std::int64_t exact_side = 256;
  at::Device device = at::kCPU;  ///< Where tensors are computed on.
  /// Threads and memory are those of reading. LibTorch computes with its own, which the caller
  /// sets (`at::set_num_threads`).
  RunOptions run;
};

/// A number that is known to lie in [low, high].
struct Interval {
  double low = 0;
  double high = 0;
};

/// The spectrum of one vector's matrix D of m rows and n columns, and which entries it changes.
///
/// s_1 >= s_2 >= ... are the singular values of D. All s of a matrix with a small side are
/// computed, by a full decomposition in float64 (`exact`). Of others the first, from a random block
/// Krylov sketch (Halko, Martinsson, Tropp, arXiv 0909.4061; Musco and Musco, arXiv 1504.05477): V
/// is an orthonormal basis of the space that G, (D'D) G, ..., (D'D)^5 G span, with a Gaussian G of
/// rank + 10 columns, and the computed values are those of D V. Products for V are in the vector's
/// own precision: with D'D, as rounded to it, where the smaller side is at most 2048, else with D.
/// Of D'D the first `rank` values are those of D on V's leading directions, in float64, and the
/// later ones, which only the ranks go by, are lowered by what rounding may have added. Where the
/// first ones fall too far for D'D, below about 0.03 of the largest in float32, and otherwise
/// without D'D, all of D V is computed in float64. So each computed value is no larger than the
/// true one (but for rounding of about 1e-8 of the largest), and by Weyl's inequality
/// s_i <= sqrt(computed_i^2 + error_bound^2), where error_bound is no less than the largest
/// singular value of D - D V V', and holds the rounding of D'D, taken as 16 epsilon |D|_F^2.
///
/// The largest singular value of what is left is at most its Frobenius norm
/// (`certain_error_bound`). For a matrix like noise that says little, so it is also estimated from
/// a second sketch with 16 columns, and enlarged by what a Lanczos process of 6 steps may fall
/// short (Kuczynski and Wozniakowski, SIAM J. Matrix Anal. Appl. 13(4), 1992, theorem 4.2), which
/// holds but for a `failure_probability`. `error_bound` is the smaller one.
struct TensorSpectrum {
  std::int64_t rank = 0;                ///< Of the options, or the smaller side of the matrix.
  bool exact = false;                   ///< All singular values were computed.
  std::vector<double> singular_values;  ///< The first `rank` of those computed, falling.
  double error_bound = 0;               ///< 0 when exact: up to rounding in float64.
  double certain_error_bound = 0;
  double failure_probability = 0;  ///< That some bound here is wrong; 0 where all are certain.

  Interval stable_rank;  ///< |D|_F^2 / s_1^2. 0 for a matrix of zeros, as the next three.
  /// exp of the entropy of s_i / sum s (Roy and Vetterli, EUSIPCO 2007). The interval holds every
  /// spectrum with the bounds above and the norm |D|_F, by majorisation.
  Interval effective_rank;
  double rank1_energy = 0;  ///< s_1^2 / |D|_F^2, of the computed s_1.
  /// The same for m x n independent normal numbers, about (sqrt m + sqrt n)^2 / (m n).
  double rank1_energy_of_noise = 0;

  double unchanged_bitwise = 0;  ///< Share of entries that are zero: tuned and base are equal.
  // What follows needs the base W, with W + D as the tuned model; absent where it is not known, or
  // holds NaN or infinite entries there.
  /// Share with |D| <= 1e-3 max(|W|, |W + D|) (arXiv 2606.07082).
  std::optional<double> unchanged_relative;
  /// Share with |D| >= half the spacing of bf16 at W, so that bf16 could show it (the same).
  std::optional<double> realisable;
  /// Of the changed entries (D not 0), the share in the 30 % of entries whose |W| is smallest. By
  /// chance 0.3: entries that tie at the limit count by the part of them that makes up 30 %.
  std::optional<double> changed_in_small_weights;
  /// The same in the 30 % with the largest |W_k|, W_k the part of W on its first `rank` singular
  /// directions as computed.
  std::optional<double> changed_in_principal_weights;
  /// |s(W + D) - s(W)| / |s(W)| over the first `rank` values as computed, by the same sketch, of
  /// four blocks.
  std::optional<double> spectral_drift;
};

/// Two vectors' matrices A and B.
struct PairSpectrum {
  /// Directions that are compared: `rank`, or fewer where a matrix has fewer singular values above
  /// 1e-6 of its largest. 0 for a matrix of zeros.
  std::int64_t k = 0;
  /// Cosines of the principal angles between the spaces of the first k left (right) singular
  /// vectors: the singular values of Ua' Ub, falling.
  std::vector<double> left_cosines, right_cosines;
  /// |Ua' Ub|_F^2 / k: 1 for the same space, and k / rows (k / columns) for independent ones.
  double left_similarity = 0, right_similarity = 0;
  double left_chance = 0, right_chance = 0;

  /// Of the entries where neither is zero, the share with opposite signs, and what independent
  /// signs of the same balance give. 0 where there are none.
  double sign_conflict = 0, sign_conflict_by_chance = 0;
  /// Entries that both change by those that at least one does (Jaccard), and what independent masks
  /// of the same densities give. 0 where there are none.
  double changed_overlap = 0, changed_overlap_by_chance = 0;
};

/// The vectors on one tensor.
struct SpectrumRow {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<std::optional<TensorSpectrum>> vectors;  ///< By vector.
  /// By vector: why there is none, in words, for a tensor with NaN or infinite entries; empty for
  /// others, and for a vector without this tensor.
  std::vector<std::string> reasons;
  std::vector<std::optional<PairSpectrum>> pairs;  ///< In the order of `SpectrumReport::pairs`.
};

/// Spectra of one or more vectors, tensor by tensor.
struct SpectrumReport {
  /// A tensor without a spectrum.
  struct LeftOut {
    std::string name, reason;
  };
  std::int64_t rank = 0;
  std::uint64_t seed = 0;
  std::vector<std::string> vectors;
  std::vector<std::pair<std::size_t, std::size_t>> pairs;  ///< (0,1), (0,2), (1,2), ...
  std::vector<SpectrumRow> tensors;                        ///< Matrices, in the vectors' order.
  std::vector<LeftOut> left_out;                           ///< Tensors that are no matrix.
};

/// Computes spectra of large tensors one after the other, and on the CPU of those up to 8 Mi
/// entries several at once, each on a thread. Memory, for each at once: one tensor of every vector
/// and, of one vector at a time, three more of its size (on a GPU in float64). The sketch is the
/// same on every device and for any number of threads; LibTorch's sums may differ in their last
/// bits with threads and device, which moves values by about 1e-6 of the largest, and cosines of
/// directions whose singular values nearly tie by more. Throws UsageError for no vector, a rank
/// below 1 or a device that is not there, CompatibilityError for vectors of different shapes,
/// IoError, Interrupted.
SpectrumReport analyze_spectrum(const std::vector<AnalyzedVector>& vectors,
                                const SpectrumOptions& options = {});

}  // namespace suture
