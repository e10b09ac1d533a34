#include "kernels/random_normal.h"

#include <cmath>
#include <numbers>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cpu/stochastic.h"

namespace suture::kernels {
namespace {

std::vector<float> numbers(std::uint64_t key, std::uint64_t first, std::size_t count) {
  std::vector<float> out(count + 1, 77);
  random_normal(key, first, out.data(), count);
  EXPECT_EQ(out.back(), 77) << "written behind the end";
  out.pop_back();
  return out;
}

// The transform as it is told, in double.
double naive(std::uint64_t key, std::uint64_t index) {
  const RandomWords words = philox(key, index / 2);
  const double share = (static_cast<double>(words.first) + 1) / 4294967296.0;
  const double angle = 2 * std::numbers::pi * static_cast<double>(words.second) / 4294967296.0;
  return std::sqrt(-2 * std::log(share)) * (index % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

TEST(RandomNormal, IsTheTransformOfTheWords) {
  const std::vector<float> found = numbers(7, 0, 20000);
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], naive(7, i), 1e-5) << i;
  const std::vector<float> far = numbers(7, (std::uint64_t{1} << 40) + 1, 100);
  for (std::size_t i = 0; i < far.size(); ++i)
    ASSERT_NEAR(far[i], naive(7, (std::uint64_t{1} << 40) + 1 + i), 1e-5) << i;
}

TEST(RandomNormal, IsTheSameHoweverItIsCut) {
  std::mt19937 random(3);
  const std::uint64_t start = (std::uint64_t{1} << 33) - 500;
  const std::vector<float> whole = numbers(11, start, 1000);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> pieces;
    while (pieces.size() < whole.size()) {
      const std::size_t count = std::min<std::size_t>(random() % 40, whole.size() - pieces.size());
      const std::vector<float> piece = numbers(11, start + pieces.size(), count);
      pieces.insert(pieces.end(), piece.begin(), piece.end());
    }
    ASSERT_EQ(pieces, whole);
  }
}

TEST(RandomNormal, HasTheMomentsOfTheNormalDistribution) {
  for (const std::uint64_t key : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
    const std::vector<float> sample = numbers(key, 0, 400000);
    double moments[4] = {}, neighbours = 0;
    std::size_t beyond_two = 0;
    for (std::size_t i = 0; i < sample.size(); ++i) {
      const double x = sample[i];
      ASSERT_TRUE(std::isfinite(x));
      for (double power = x; double& moment : moments) {
        moment += power;
        power *= x;
      }
      if (i > 0) neighbours += x * static_cast<double>(sample[i - 1]);
      beyond_two += std::abs(x) > 2 ? 1 : 0;
    }
    const auto n = static_cast<double>(sample.size());
    // Five standard errors each.
    EXPECT_NEAR(moments[0] / n, 0, 5 / std::sqrt(n));
    EXPECT_NEAR(moments[1] / n, 1, 5 * std::sqrt(2 / n));
    EXPECT_NEAR(moments[2] / n, 0, 5 * std::sqrt(15 / n));
    EXPECT_NEAR(moments[3] / n, 3, 5 * std::sqrt(96 / n));
    EXPECT_NEAR(neighbours / n, 0, 5 / std::sqrt(n));
    EXPECT_NEAR(static_cast<double>(beyond_two) / n, 0.0455003, 5 * std::sqrt(0.0455 / n));
  }
}

TEST(RandomNormal, IsAnotherSequenceForAnotherKey) {
  const std::vector<float> a = numbers(5, 0, 100000), b = numbers(6, 0, 100000);
  double product = 0;
  std::size_t equal = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    product += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    equal += a[i] == b[i] ? 1 : 0;
  }
  EXPECT_LT(equal, 5u);
  EXPECT_NEAR(product / static_cast<double>(a.size()), 0, 0.02);
}

}  // namespace
}  // namespace suture::kernels
