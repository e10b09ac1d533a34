#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "suture/dtype.h"

#include "kernels/linear_form.h"

namespace suture::kernels {

/// What is known of one run of `tuned - base`. "Inexact" counts elements where base + difference,
/// as it would be injected, is not tuned to the bit.
struct DifferenceFindings {
  double squares = 0, base_squares = 0;  ///< Of finite elements, as `sum_of_squares` gives them.
  std::uint64_t changed = 0;             ///< Elements where the difference is not zero.
  std::uint64_t inexact_in_float = 0;    ///< With the difference as float32.
  std::uint64_t inexact_in_double = 0;   ///< As float64.
  std::uint64_t inexact_in_chosen = 0;   ///< As the dtype that the caller fixed, if any.
  bool fits_bf16 = true;  ///< bf16 holds every float32 difference to the bit: -0 and NaN too.
  bool fits_f16 = true;   ///< f16 does.

  /// Adds what is known of elements that follow.
  void append(const DifferenceFindings& next);
};

/// Where a difference is written and in which dtype.
struct DifferenceOutput {
  Dtype dtype = Dtype::kF32;
  void* data = nullptr;
};

/// Measures, tests and writes `tuned - base` over up to one statistics tile, in one go over pieces
/// that stay in the first-level cache. `chosen` is a dtype to test for exactness beside float32 and
/// float64. With an `output`, the difference is written there as `sum_of_terms` and `narrow` give
/// it (in float64 for a float64 operand or output). With a float64 operand nothing narrower fits.
DifferenceFindings examine_difference(StoredTile tuned, StoredTile base, std::size_t count,
                                      std::optional<Dtype> chosen,
                                      std::optional<DifferenceOutput> output);

/// The narrowest dtype that the difference can be stored in without changing what adding it gives:
/// f64 where a float64 operand (`in_double`) or that alone gives tuned back, else bf16, f16, f32.
Dtype narrowest_exact_dtype(const DifferenceFindings& findings, bool in_double);

/// True when `a` comes before `b` among bf16, f16, f32 and f64.
bool is_narrower(Dtype a, Dtype b);

}  // namespace suture::kernels
