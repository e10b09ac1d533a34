#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/linear_form.h"

namespace suture::kernels {

/// Elements per statistics tile. Sums run inside a tile, tiles are combined in index order, so a
/// result depends on neither threads nor buffers nor shards. Part of the numerics contract.
inline constexpr std::size_t kStatisticsTile = 65536;

/// Magnitudes are counted by binary exponent: bin b holds 2^(b + kFirstExponent) <= |x| < twice
/// that. The outer bins also hold everything beyond.
inline constexpr int kFirstExponent = -40;
inline constexpr std::size_t kHistogramBins = 48;

/// What is known of one array of values. Values that are NaN or infinite are counted and left out
/// of every other member.
struct ValueStatistics {
  std::uint64_t count = 0;
  std::uint64_t non_zero = 0;
  std::uint64_t non_finite = 0;
  double sum_of_squares = 0;
  double max_magnitude = 0;
  std::array<std::uint64_t, kHistogramBins> histogram{};  ///< Of non-zero magnitudes.

  /// Adds what is known of the values that follow. Order matters to the last bit of the sum.
  void append(const ValueStatistics& next);
};

/// What is known of two arrays beside each other; only pairs of finite values count.
struct PairStatistics {
  double dot = 0;
  std::uint64_t both_non_zero = 0;
  std::uint64_t same_sign = 0;        ///< Of those.
  std::uint64_t first_positive = 0;   ///< Of those.
  std::uint64_t second_positive = 0;  ///< Of those.

  void append(const PairStatistics& next);
};

/// Statistics of up to one tile, accumulated in float64.
ValueStatistics measure_values(const float* values, std::size_t count);
ValueStatistics measure_values(const double* values, std::size_t count);
PairStatistics measure_pair(const float* first, const float* second, std::size_t count);
PairStatistics measure_pair(const double* first, const double* second, std::size_t count);

/// Sum of squares alone: of a tile, what `measure_values` says. Stored elements give the same as
/// their floats or doubles.
double sum_of_squares(StoredTile values, std::size_t count);

}  // namespace suture::kernels
