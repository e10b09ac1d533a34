#pragma once

#include <cstddef>

#include "kernels/linear_form.h"

namespace suture::kernels {

/// Squared Frobenius norms of what a product leaves of a change.
struct LeftoverSquares {
  double change = 0;  ///< Of product - change.
  double merged = 0;  ///< Of round(base + product) - (base + change), rounded to the base's dtype.
};

/// Sums over `count` elements, in float64, in 16 interleaved lanes. Without a base (`data` is null)
/// `merged` stays 0. A naive sum in the tests says the same.
LeftoverSquares leftover_squares(const double* product, const float* change, StoredTile base,
                                 std::size_t count);
LeftoverSquares leftover_squares(const double* product, const double* change, StoredTile base,
                                 std::size_t count);

}  // namespace suture::kernels
