#include "lowrank/low_rank.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/noise.h"

namespace suture {
namespace {

using test::noise;

// Singular values that fall by `factor` from one to the next.
at::Tensor falling(std::int64_t rows, std::int64_t columns, double factor) {
  const std::int64_t side = std::min(rows, columns);
  const at::Tensor left = std::get<0>(at::linalg_qr(noise(rows, side, 1).to(at::kDouble)));
  const at::Tensor right = std::get<0>(at::linalg_qr(noise(columns, side, 2).to(at::kDouble)));
  const at::Tensor values = at::pow(factor, at::arange(side, at::kDouble));
  return (left * values).mm(right.t()).to(at::kFloat);
}

LowRankOptions with_rank(std::int64_t rank) {
  LowRankOptions options;
  options.rank = rank;
  return options;
}

LowRankOptions with_energy(double energy) {
  LowRankOptions options;
  options.energy = energy;
  return options;
}

double relative_error(const at::Tensor& matrix, const LowRank& found) {
  const double squares = matrix.to(at::kDouble).square().sum().item<double>();
  return std::sqrt(leftover_of(matrix, found.up, found.down, {}).squares / squares);
}

// By a full decomposition.
double least_error(const at::Tensor& matrix, std::int64_t rank) {
  const at::Tensor squares = at::linalg_svdvals(matrix.to(at::kDouble)).square();
  return std::sqrt((squares.slice(0, rank).sum() / squares.sum()).item<double>());
}

// By the same, of all ranks at once: the first that leaves no more than 1 - energy of the square.
std::int64_t smallest_rank(const at::Tensor& singular_values, double energy) {
  const at::Tensor kept = singular_values.square().cumsum(0);
  const at::Tensor enough = kept >= energy * kept[-1].item<double>();
  return enough.to(at::kInt).argmax().item<std::int64_t>() + 1;
}

struct Shape {
  std::int64_t rows, columns;
};
const std::vector<Shape> kShapes{{40, 40}, {300, 90}, {90, 300}, {900, 700}, {700, 900}, {1, 50}};

TEST(LowRank, GivesALowRankMatrixBack) {
  for (const auto& [rows, columns] : kShapes) {
    const std::int64_t rank = std::min<std::int64_t>({5, rows, columns});
    const at::Tensor matrix = noise(rows, rank, 3).mm(noise(rank, columns, 4));
    const LowRank found = low_rank(matrix, with_rank(rank));
    EXPECT_EQ(found.rank(), rank);
    EXPECT_EQ(found.up.sizes(), (std::vector<std::int64_t>{rows, rank}));
    EXPECT_EQ(found.down.sizes(), (std::vector<std::int64_t>{rank, columns}));
    EXPECT_LT(relative_error(matrix, found), 1e-6) << rows << " x " << columns;
    EXPECT_EQ(low_rank(matrix, with_energy(1)).rank(), rank) << rows << " x " << columns;
  }
}

TEST(LowRank, IsNearlyTheBestOfItsRank) {
  for (const auto& [rows, columns] : kShapes) {
    for (const double factor : {0.5, 0.99, 1.0}) {
      const at::Tensor matrix =
          factor == 1 ? noise(rows, columns, 5) : falling(rows, columns, factor);
      const std::int64_t rank = std::min<std::int64_t>(16, std::min(rows, columns));
      const double error = relative_error(matrix, low_rank(matrix, with_rank(rank)));
      const double least = least_error(matrix, rank);
      EXPECT_GE(error, least - 1e-6);
      EXPECT_LE(error, 1.002 * least + 1e-6) << rows << " x " << columns << ", " << factor;
    }
  }
}

TEST(LowRank, BothFactorsCarryTheRootOfTheSingularValues) {
  const at::Tensor matrix = falling(200, 80, 0.7);
  const LowRank found = low_rank(matrix, with_rank(6));
  const at::Tensor values = at::linalg_svdvals(matrix.to(at::kDouble)).narrow(0, 0, 6);
  EXPECT_TRUE(at::allclose(found.up.t().mm(found.up), at::diag(values), 1e-6, 1e-9));
  EXPECT_TRUE(at::allclose(found.down.mm(found.down.t()), at::diag(values), 1e-6, 1e-9));
}

TEST(LowRank, FactorsOfASketchBalanceToo) {
  const at::Tensor matrix = falling(900, 700, 0.99);
  const LowRank found = low_rank(matrix, with_rank(16));
  const at::Tensor up = found.up.t().mm(found.up), down = found.down.mm(found.down.t());
  EXPECT_TRUE(at::allclose(up, down, 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(up, at::diag(up.diag()), 1e-4, 1e-5));
}

TEST(LowRank, OfASketchKeepsTheEnergyThatWasAskedFor) {
  const at::Tensor matrix = falling(900, 700, 0.9);
  LowRankOptions options = with_rank(30);
  for (const double energy : {0.5, 0.8, 0.965663, 0.9656632, 0.98, 0.99}) {
    options.energy = energy;
    const double error = relative_error(matrix, low_rank(matrix, options));
    EXPECT_LE(error * error, 1 - energy) << energy;
  }
}

TEST(LowRank, TakesDoublesAndEitherSide) {
  const at::Tensor matrix = noise(900, 700, 6);
  const double error = relative_error(matrix, low_rank(matrix, with_rank(16)));
  const at::Tensor in_double = matrix.to(at::kDouble);
  EXPECT_NEAR(relative_error(in_double, low_rank(in_double, with_rank(16))), error, 1e-5);
  EXPECT_NEAR(relative_error(matrix.t(), low_rank(matrix.t(), with_rank(16))), error, 1e-5);
}

TEST(LowRank, AsksWhetherItIsCancelled) {
  const at::Tensor matrix = noise(900, 700, 7);
  const std::atomic<bool> cancel = true;
  RunOptions run;
  run.cancel = &cancel;
  for (LowRankOptions options : {with_rank(16), with_energy(0.5)}) {
    options.run = &run;
    EXPECT_THROW(low_rank(matrix, options), Interrupted);
  }
  EXPECT_THROW(leftover_of(matrix, noise(900, 2, 1), noise(2, 700, 2), {}, &run), Interrupted);
}

TEST(LowRank, TakesTheSmallestRankThatKeepsTheEnergy) {
  for (const auto& [rows, columns] : kShapes) {
    const at::Tensor matrix = falling(rows, columns, 0.95);
    const at::Tensor values = at::linalg_svdvals(matrix.to(at::kDouble));
    for (const double energy : {0.1, 0.5, 0.9, 0.999})
      EXPECT_EQ(low_rank(matrix, with_energy(energy)).rank(), smallest_rank(values, energy))
          << rows << " x " << columns << ", " << energy;
  }
}

TEST(LowRank, KeepsToTheRankWhereTheEnergyWantsMore) {
  const at::Tensor matrix = falling(900, 700, 0.95);
  LowRankOptions options = with_energy(0.5);
  options.rank = 20;
  EXPECT_EQ(low_rank(matrix, options).rank(), low_rank(matrix, with_energy(0.5)).rank());
  options.energy = 0.99;
  EXPECT_EQ(low_rank(matrix, options).rank(), 20);
}

TEST(LowRank, IsEmptyForZeros) {
  for (const LowRankOptions& options : {with_rank(4), with_energy(0.5)}) {
    const LowRank found = low_rank(at::zeros({900, 700}), options);
    EXPECT_EQ(found.rank(), 0);
    EXPECT_EQ(found.squares, 0);
  }
}

TEST(LowRank, RankIsAtMostTheSmallerSide) {
  for (const std::int64_t rank : {std::int64_t{8}, std::int64_t{100}, INT64_MAX})
    EXPECT_EQ(low_rank(noise(7, 30, 1), with_rank(rank)).rank(), 7);
}

TEST(LowRank, HoldsTinyAndHugeNumbers) {
  const at::Tensor flat = noise(900, 700, 8);
  const double least = relative_error(flat, low_rank(flat, with_rank(24)));
  for (const double scale : {1e-18, 1e15}) {
    const at::Tensor matrix = falling(900, 700, 0.5) * scale, scaled = flat * scale;
    EXPECT_LT(relative_error(matrix, low_rank(matrix, with_rank(24))), 1e-6) << scale;
    EXPECT_LT(relative_error(scaled, low_rank(scaled, with_rank(24))), 1.002 * least) << scale;
  }
}

TEST(Leftover, IsWhatTheStoredFactorsLeave) {
  const at::Tensor matrix = noise(300, 90, 1), base = noise(300, 90, 2).to(at::kBFloat16);
  const LowRank found = low_rank(matrix, with_rank(8));
  const at::Tensor up = found.up.to(at::kBFloat16), down = found.down.to(at::kBFloat16);
  const at::Tensor product = up.to(at::kDouble).mm(down.to(at::kDouble));
  const at::Tensor rest = matrix.to(at::kDouble) - product;
  const at::Tensor merged = (base.to(at::kDouble) + product).to(at::kBFloat16).to(at::kDouble);
  const at::Tensor wrong = merged - (base.to(at::kDouble) + matrix.to(at::kDouble));
  const Leftover left = leftover_of(matrix, up, down, base);
  EXPECT_NEAR(left.squares / rest.square().sum().item<double>(), 1, 1e-9);
  EXPECT_NEAR(left.merged_squares / wrong.square().sum().item<double>(), 1, 1e-9);
  EXPECT_GT(left.squares, leftover_of(matrix, found.up, found.down, base).squares);
}

}  // namespace
}  // namespace suture
