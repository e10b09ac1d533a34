#include "analysis/leading_svd.h"

#include <atomic>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <gtest/gtest.h>

#include "suture/error.h"

namespace suture {
namespace {

at::Tensor normal(std::vector<std::int64_t> shape, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator, at::TensorOptions(at::kDouble));
}

at::Tensor orthonormal(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  return std::get<0>(at::linalg_qr(normal({rows, columns}, seed)));
}

// A float64 matrix with these singular values.
at::Tensor with_values(std::int64_t rows, std::int64_t columns, const at::Tensor& values) {
  const std::int64_t count = values.size(0);
  return (orthonormal(rows, count, 1) * values).mm(orthonormal(columns, count, 2).t());
}

LeadingSvdOptions sketched(std::int64_t rank) {
  LeadingSvdOptions options;
  options.rank = rank;
  options.exact_side = 1;
  return options;
}

// Every true value lies between the computed one and what the bound adds to it.
void expect_true_values_within(const LeadingSvd& found, const at::Tensor& truth, double rounding) {
  for (std::size_t i = 0; i < found.values.size(); ++i) {
    const double value = truth[static_cast<std::int64_t>(i)].item<double>();
    EXPECT_LE(found.values[i], value + rounding) << i;
    EXPECT_GE(std::hypot(found.values[i], found.error_bound), value - rounding) << i;
  }
  EXPECT_GE(found.largest_at_most, truth[0].item<double>() - rounding);
  const auto left = static_cast<std::int64_t>(found.values.size());
  if (left < truth.size(0)) {
    EXPECT_GE(found.error_bound, truth[left].item<double>() - rounding);
  }
  EXPECT_LE(found.error_bound, found.certain_error_bound);
}

TEST(LeadingSvd, OfASmallSideIsExact) {
  const at::Tensor matrix = normal({300, 40}, 7);
  LeadingSvdOptions options;
  options.rank = 5;
  const LeadingSvd found = leading_svd(matrix, options);
  const at::Tensor truth = at::linalg_svdvals(matrix);
  EXPECT_TRUE(found.exact);
  ASSERT_EQ(found.values.size(), 40u);
  EXPECT_EQ(found.error_bound, 0);
  EXPECT_EQ(found.left.sizes(), (std::vector<std::int64_t>{300, 5}));
  EXPECT_EQ(found.right.sizes(), (std::vector<std::int64_t>{40, 5}));
  expect_true_values_within(found, truth, 1e-12);
}

class SketchedSvd : public testing::TestWithParam<std::pair<const char*, bool>> {
 protected:
  // Of a matrix that lies or stands.
  at::Tensor turned(const at::Tensor& matrix) const {
    return GetParam().second ? matrix.t().contiguous() : matrix;
  }
  static at::Tensor values() {
    const at::Tensor i = at::arange(0, 400, at::kDouble);
    const std::string kind = GetParam().first;
    if (kind == "fast") return at::pow(0.7, i);
    if (kind == "slow") return 1 / (i + 1).sqrt();
    if (kind == "spike") return at::where(i == 0, 10.0, 1.0 - i / 1000);
    return at::ones({400}, at::kDouble);
  }
};

TEST_P(SketchedSvd, HoldsEveryTrueValueInItsInterval) {
  const at::Tensor truth = values();
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const at::Tensor matrix = turned(with_values(700, 400, truth).to(type));
    const LeadingSvd found = leading_svd(matrix, sketched(12));
    EXPECT_FALSE(found.exact);
    // What rounding the matrix to float32 moves, or squares in float64.
    const double rounding = (type == at::kDouble ? 3e-8 : 1e-5) * truth[0].item<double>();
    expect_true_values_within(found, truth, rounding);
    EXPECT_NEAR(found.squares, truth.square().sum().item<double>(), 1e-6 * found.squares);
  }
}

TEST_P(SketchedSvd, BoundsAreNotIdle) {
  const at::Tensor truth = values();
  const LeadingSvd found = leading_svd(turned(with_values(700, 400, truth)), sketched(12));
  const auto next = truth[static_cast<std::int64_t>(found.values.size())].item<double>();
  // Of the size of the first value that no basis as large can hold, or small beside the largest.
  EXPECT_LE(found.error_bound, std::max(2 * next, 1e-2 * found.values[0]));
  EXPECT_LE(found.largest_at_most, 1.12 * truth[0].item<double>());
}

TEST_P(SketchedSvd, VectorsBelongToTheirValues) {
  const at::Tensor matrix = turned(with_values(700, 400, values()));
  const LeadingSvd found = leading_svd(matrix, sketched(12));
  const at::Tensor scales =
      at::tensor(std::vector<double>(found.values.begin(), found.values.begin() + 12), at::kDouble);
  const at::Tensor identity = at::eye(12, at::kDouble);
  EXPECT_TRUE(at::allclose(found.right.t().mm(found.right), identity, 1e-9, 1e-9));
  EXPECT_TRUE(at::allclose(found.left.t().mm(found.left), identity, 1e-6, 1e-6));
  EXPECT_TRUE(
      at::allclose(found.left.t().mm(matrix).mm(found.right), at::diag(scales), 1e-9, 1e-9));
}

INSTANTIATE_TEST_SUITE_P(Spectra, SketchedSvd,
                         testing::Values(std::pair("fast", false), std::pair("slow", false),
                                         std::pair("spike", true), std::pair("flat", true)),
                         [](const auto& kind) { return std::string(kind.param.first); });

TEST(LeadingSvd, ConvergesWhereValuesFall) {
  const at::Tensor truth = at::pow(0.7, at::arange(0, 400, at::kDouble));
  const LeadingSvd found = leading_svd(with_values(700, 400, truth), sketched(12));
  for (std::int64_t i = 0; i < 12; ++i)
    EXPECT_NEAR(found.values[static_cast<std::size_t>(i)], truth[i].item<double>(), 1e-12);
}

TEST(LeadingSvd, FindsWhatIsTooSmallForSquaresInFloat32) {
  const at::Tensor falling = at::pow(0.7, at::arange(0, 400, at::kDouble));
  const at::Tensor matrix = with_values(700, 400, falling).to(at::kFloat);
  const at::Tensor truth = at::linalg_svdvals(matrix.to(at::kDouble));
  const LeadingSvd found = leading_svd(matrix, sketched(30));
  for (std::int64_t i = 0; i < 30; ++i) {
    const double value = truth[i].item<double>();
    EXPECT_NEAR(found.values[static_cast<std::size_t>(i)], value, 1e-3 * value) << i;
  }
}

TEST(LeadingSvd, OfLowRankIsCertain) {
  const at::Tensor matrix =
      (normal({600, 1}, 3).mm(normal({1, 500}, 4))).to(at::kFloat).to(at::kDouble);
  const LeadingSvd found = leading_svd(matrix.to(at::kFloat), sketched(12));
  EXPECT_FALSE(found.exact);
  EXPECT_EQ(found.failure_probability, 0);
  EXPECT_LT(found.error_bound, 1e-6 * found.values[0]);
  EXPECT_NEAR(found.values[0], matrix.norm().item<double>(), 1e-6 * found.values[0]);
}

TEST(LeadingSvd, TinyAndHugeNumbersAreNumbers) {
  const at::Tensor matrix = with_values(700, 400, at::pow(0.9, at::arange(0, 400, at::kDouble)));
  for (const double scale : {1e-30, 1e30}) {
    const LeadingSvd found = leading_svd((matrix * scale).to(at::kFloat), sketched(12));
    EXPECT_NEAR(found.values[0] / scale, 1, 1e-5);
    EXPECT_NEAR(found.values[11] / scale, std::pow(0.9, 11), 1e-5);
    const LeadingSvd noise =
        leading_svd((normal({700, 400}, 1) * scale).to(at::kFloat), sketched(12));
    EXPECT_GT(noise.error_bound, 0.5 * noise.values[0]);
    EXPECT_LT(noise.error_bound, 1.5 * noise.values[0]);
  }
}

TEST(LeadingSvd, OfZerosIsZero) {
  const LeadingSvd found = leading_svd(at::zeros({700, 400}), sketched(12));
  EXPECT_EQ(found.values[0], 0);
  EXPECT_EQ(found.error_bound, 0);
  EXPECT_EQ(found.largest_at_most, 0);
}

TEST(LeadingSvd, SeedsGiveOtherSketchesAndTheSameSeedTheSame) {
  const at::Tensor matrix = normal({700, 400}, 5);
  LeadingSvdOptions options = sketched(12);
  const LeadingSvd first = leading_svd(matrix, options), again = leading_svd(matrix, options);
  options.seed = 1;
  const LeadingSvd other = leading_svd(matrix, options);
  for (std::size_t i = 0; i < 12; ++i)
    EXPECT_NEAR(first.values[i], again.values[i], 1e-12 * first.values[0]);
  EXPECT_NE(first.values[11], other.values[11]);
}

TEST(LeadingSvd, StopsWhenCancelled) {
  const std::atomic<bool> cancel = true;
  RunOptions run;
  run.cancel = &cancel;
  LeadingSvdOptions options = sketched(12);
  options.run = &run;
  EXPECT_THROW(leading_svd(normal({700, 400}, 5), options), Interrupted);
}

}  // namespace
}  // namespace suture
