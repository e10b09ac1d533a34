#pragma once

#include <cstddef>

#include "kernels/cpu/vectorize.h"

namespace suture::kernels {

/// Sums run in this many interleaved lanes by element index, whatever the instruction set, so that
/// their bytes never depend on it. Part of the numerics contract.
inline constexpr std::size_t kLanes = 16;

struct Lanes {
  double sums[kLanes] = {};
  double total() const {
    double sum = 0;
    for (const double lane : sums) sum += lane;
    return sum;
  }
};

/// Adds `product(i)` of `count` elements, the first of which belongs to the first lane.
template <typename Product>
SUTURE_INLINE void add_products(std::size_t count, Lanes& lanes, const Product& product) {
  Lanes kept = lanes;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) kept.sums[lane] += product(i + lane);
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) kept.sums[lane] += product(i);
  lanes = kept;
}

}  // namespace suture::kernels
