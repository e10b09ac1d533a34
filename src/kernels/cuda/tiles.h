#pragma once

#include <cstdint>

#include "kernels/cuda/convert.h"

namespace suture::kernels::cuda {

/// A launch covers many tensors, cut into tiles that are counted through: tensor i has the tiles
/// from `ends[i - 1]` (0 for the first) to `ends[i] - 1`.
struct TileOfTensor {
  std::uint64_t tensor;
  std::uint64_t tile;  ///< Counted from the tensor's first.
};

SUTURE_HOST_DEVICE inline std::uint64_t tiles_of(std::uint64_t elements,
                                                 std::uint64_t tile_elements) {
  return elements / tile_elements + (elements % tile_elements != 0 ? 1 : 0);
}

/// Finds tile `tile`, which must be below the last end, by bisection.
SUTURE_HOST_DEVICE inline TileOfTensor find_tile(const std::uint64_t* ends, std::uint64_t tensors,
                                                 std::uint64_t tile) {
  std::uint64_t low = 0, high = tensors - 1;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (tile < ends[middle]) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return {low, tile - (low == 0 ? 0 : ends[low - 1])};
}

}  // namespace suture::kernels::cuda
