#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "suture/dtype.h"

namespace suture::kernels {

/// Stored elements and how to read them.
struct StoredTile {
  const void* data = nullptr;
  Dtype dtype = Dtype::kF32;
};

/// `scale * (minuend - subtrahend)` over one tile; without a subtrahend, `scale * minuend`.
struct TermTile {
  StoredTile minuend;
  StoredTile subtrahend;  ///< `data` is null when there is none.
  double scale = 1;
};

/// How a sum becomes a stored element: to nearest even, or to one of its two neighbours with a
/// probability that makes the result right on average. Random bits come from Philox4x32-10, counted
/// by the element's index, so that they depend on neither threads nor tiles.
struct Rounding {
  bool stochastic = false;
  std::uint64_t key = 0;            ///< Of the random bits; one for each tensor.
  std::uint64_t first_element = 0;  ///< Index in the tensor of the tile's first element.
};

/// What rounding made of a change. Wanted is the sum of the terms, realised is what the stored
/// result differs by from the target. Elements where either is not finite are left out of the sums.
struct ChangeSums {
  std::uint64_t changed = 0;     ///< Elements whose value is another than the target's.
  std::uint64_t non_finite = 0;  ///< Of those, finite ones that became NaN or infinite.
  double wanted_squares = 0, realised_squares = 0;
  double dot = 0;  ///< Of the wanted and the realised change.

  /// Adds the sums of the elements that follow. Order matters to the last bit.
  void append(const ChangeSums& next);
};

/// True when the numerics contract computes these operands in float64: one of them is float64.
bool computes_in_double(std::span<const TermTile> terms, Dtype target);

/// out = round(target + sum of terms), element by element, in float32 or float64 (see
/// `computes_in_double`), in the order written, each operation rounded on its own, the result
/// rounded once to `out_dtype`. Where the sum compares equal to the target's element, or that is
/// NaN, the target's own bits are kept, so that a zero vector gives the target's bytes back (-0 and
/// NaN payloads too). `out` may be the target's memory.
void add_to_target(StoredTile target, std::span<const TermTile> terms, Dtype out_dtype, void* out,
                   std::size_t count, const Rounding& rounding = {});

/// The same, and what rounding made of the change, in float64, in 16 interleaved lanes. Sums that
/// are to depend on the tensor alone are taken over its statistics tiles.
ChangeSums add_to_target_measured(StoredTile target, std::span<const TermTile> terms,
                                  Dtype out_dtype, void* out, std::size_t count,
                                  const Rounding& rounding = {});

/// The sum of the terms alone, as float (no operand may be f64) or double.
void sum_of_terms(std::span<const TermTile> terms, float* out, std::size_t count);
void sum_of_terms(std::span<const TermTile> terms, double* out, std::size_t count);

}  // namespace suture::kernels
