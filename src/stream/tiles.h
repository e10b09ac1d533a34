#pragma once

#include <cstdint>
#include <vector>

#include "suture/run_options.h"

namespace suture::stream {

/// A run of consecutive elements of one item (a tensor, or a part of one).
struct Tile {
  std::size_t item = 0;
  std::uint64_t first = 0;  ///< Element in the item.
  std::size_t count = 0;
};

/// Cuts items of the given element counts into tiles of `tile_elements`, in order.
std::vector<Tile> cut_into_tiles(const std::vector<std::uint64_t>& element_counts,
                                 std::uint64_t tile_elements);

/// Elements per tile so that `threads` workers with `bytes_per_element` of buffers each keep within
/// the memory budget: a multiple of the statistics tile, at least one of them, at most eight.
std::size_t tile_elements_within(const RunOptions& options, std::size_t bytes_per_element);

}  // namespace suture::stream
