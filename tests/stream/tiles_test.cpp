#include "stream/tiles.h"

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/statistics.h"

namespace suture::stream {
namespace {

TEST(CutIntoTiles, CoversEveryElementOnceAndInOrder) {
  const std::vector<std::uint64_t> counts{10, 0, 4, 5, 1};
  for (const std::uint64_t tile : {1, 3, 4, 100}) {
    const std::vector<Tile> tiles = cut_into_tiles(counts, tile);
    std::vector<std::uint64_t> covered(counts.size());
    std::size_t last = 0;
    for (const Tile& t : tiles) {
      EXPECT_GE(t.item, last);
      last = t.item;
      EXPECT_EQ(t.first, covered[t.item]);
      EXPECT_GE(t.count, 1u);
      EXPECT_LE(t.count, tile);
      covered[t.item] += t.count;
    }
    EXPECT_EQ(covered, counts) << tile;
  }
}

TEST(CutIntoTiles, OfNothingIsNothing) { EXPECT_TRUE(cut_into_tiles({}, 4).empty()); }

TEST(TileElements, AreAWholeNumberOfStatisticsTilesFromOneToEight) {
  RunOptions options;
  for (const unsigned threads : {1u, 2u, 7u, 1000u}) {
    for (const std::uint64_t budget : {0ull, 1ull << 20, 8ull << 20, 512ull << 20, 1ull << 50}) {
      for (const std::size_t bytes : {std::size_t{1}, std::size_t{24}, std::size_t{5000}}) {
        options.threads = threads;
        options.memory_budget_bytes = budget;
        const std::size_t elements = tile_elements_within(options, bytes);
        EXPECT_EQ(elements % kernels::kStatisticsTile, 0u);
        EXPECT_GE(elements / kernels::kStatisticsTile, 1u);
        EXPECT_LE(elements / kernels::kStatisticsTile, 8u);
        if (elements > kernels::kStatisticsTile) {
          EXPECT_LE(elements * bytes * threads, budget);
        }
      }
    }
  }
}

TEST(TileElements, GrowWithTheBudget) {
  RunOptions options;
  options.threads = 1;
  options.memory_budget_bytes = 3 * 16 * kernels::kStatisticsTile;
  EXPECT_EQ(tile_elements_within(options, 16), 3 * kernels::kStatisticsTile);
}

}  // namespace
}  // namespace suture::stream
