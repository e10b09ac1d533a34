#pragma once

#include <cstddef>
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

/// True when the numerics contract computes these operands in float64: one of them is float64.
bool computes_in_double(std::span<const TermTile> terms, Dtype target);

/// out = round(target + sum of terms), element by element, in float32 or float64 (see
/// `computes_in_double`), in the order written, each operation rounded on its own, the result
/// rounded once to `out_dtype`. Where the sum compares equal to the target's element, or that is
/// NaN, the target's own bits are kept, so that a zero vector gives the target's bytes back (-0 and
/// NaN payloads too). `out` may be the target's memory.
void add_to_target(StoredTile target, std::span<const TermTile> terms, Dtype out_dtype, void* out,
                   std::size_t count);

/// The sum of the terms alone, as float (no operand may be f64) or double.
void sum_of_terms(std::span<const TermTile> terms, float* out, std::size_t count);
void sum_of_terms(std::span<const TermTile> terms, double* out, std::size_t count);

}  // namespace suture::kernels
