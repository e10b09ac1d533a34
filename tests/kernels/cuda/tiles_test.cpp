#include "kernels/cuda/tiles.h"

#include <vector>

#include <gtest/gtest.h>

namespace suture::kernels::cuda {
namespace {

TEST(CudaTiles, CountsThemWithoutOverflow) {
  EXPECT_EQ(tiles_of(0, 10), 0u);
  EXPECT_EQ(tiles_of(1, 10), 1u);
  EXPECT_EQ(tiles_of(10, 10), 1u);
  EXPECT_EQ(tiles_of(11, 10), 2u);
  EXPECT_EQ(tiles_of(~std::uint64_t{0}, 2), std::uint64_t{1} << 63);
}

TEST(CudaTiles, FindsTheTensorOfEveryTile) {
  for (const std::vector<std::uint64_t>& counts :
       {std::vector<std::uint64_t>{1}, {3}, {1, 1}, {2, 0, 5, 1}, {0, 4}, {1, 2, 3, 4, 5, 6, 7}}) {
    std::vector<std::uint64_t> ends;
    std::uint64_t total = 0;
    for (const std::uint64_t count : counts) ends.push_back(total += count);
    std::uint64_t tile = 0;
    for (std::uint64_t tensor = 0; tensor < counts.size(); ++tensor) {
      for (std::uint64_t i = 0; i < counts[tensor]; ++i, ++tile) {
        const TileOfTensor found = find_tile(ends.data(), ends.size(), tile);
        EXPECT_EQ(found.tensor, tensor);
        EXPECT_EQ(found.tile, i);
      }
    }
  }
}

}  // namespace
}  // namespace suture::kernels::cuda
