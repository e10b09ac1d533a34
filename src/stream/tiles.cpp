#include "stream/tiles.h"

#include <algorithm>

#include "kernels/statistics.h"
#include "stream/worker_pool.h"

namespace suture::stream {

std::vector<Tile> cut_into_tiles(const std::vector<std::uint64_t>& element_counts,
                                 std::uint64_t tile_elements) {
  std::vector<Tile> tiles;
  for (std::size_t item = 0; item < element_counts.size(); ++item) {
    for (std::uint64_t first = 0; first < element_counts[item]; first += tile_elements) {
      const auto count = std::min(tile_elements, element_counts[item] - first);
      tiles.push_back({item, first, static_cast<std::size_t>(count)});
    }
  }
  return tiles;
}

std::size_t tile_elements_within(const RunOptions& options, std::size_t bytes_per_element) {
  constexpr std::uint64_t kMaxTiles = 8;
  const std::uint64_t per_thread = options.memory_budget_bytes / thread_count(options);
  const std::uint64_t tiles = per_thread / (bytes_per_element * kernels::kStatisticsTile);
  return static_cast<std::size_t>(std::clamp<std::uint64_t>(tiles, 1, kMaxTiles)) *
         kernels::kStatisticsTile;
}

}  // namespace suture::stream
