#include "analysis/subspaces.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <ATen/ATen.h>

namespace suture {
namespace {

constexpr double kSmallestDirection = 1e-6;  // of the largest singular value: float32's own noise

at::Tensor orthonormal(const at::Tensor& vectors, std::int64_t k) {
  return std::get<0>(at::linalg_qr(vectors.narrow(1, 0, k)));
}

std::vector<double> cosines_between(const at::Tensor& a, const at::Tensor& b, std::int64_t k) {
  const at::Tensor cosines =
      at::linalg_svdvals(orthonormal(a, k).t().mm(orthonormal(b, k))).cpu().clamp_max(1);
  const double* data = cosines.const_data_ptr<double>();
  return {data, data + k};
}

double mean_square(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

std::int64_t directions_of(const LeadingSvd& svd, std::int64_t rank) {
  std::int64_t count = 0;
  for (const double value : svd.values)
    count += value > kSmallestDirection * svd.values.front() ? 1 : 0;
  return std::min(count, rank);
}

void compare_subspaces(const LeadingSvd& first, const LeadingSvd& second, std::int64_t rank,
                       PairSpectrum& pair) {
  pair.k = std::min(directions_of(first, rank), directions_of(second, rank));
  if (pair.k == 0) return;
  pair.left_cosines = cosines_between(first.left, second.left, pair.k);
  pair.right_cosines = cosines_between(first.right, second.right, pair.k);
  pair.left_similarity = mean_square(pair.left_cosines);
  pair.right_similarity = mean_square(pair.right_cosines);
  pair.left_chance = static_cast<double>(pair.k) / static_cast<double>(first.left.size(0));
  pair.right_chance = static_cast<double>(pair.k) / static_cast<double>(first.right.size(0));
}

double spectral_drift(const LeadingSvd& moved, const LeadingSvd& base, std::int64_t rank) {
  const std::size_t count = std::min(static_cast<std::size_t>(rank), base.values.size());
  double moves = 0, squares = 0;
  for (std::size_t i = 0; i < count; ++i) {
    moves += std::pow(moved.values[i] - base.values[i], 2);
    squares += std::pow(base.values[i], 2);
  }
  return squares > 0 ? std::sqrt(moves / squares) : 0;
}

at::Tensor leading_part(const LeadingSvd& svd) {
  const std::int64_t rank = svd.left.size(1);
  const std::vector<double> values(svd.values.begin(), svd.values.begin() + rank);
  const at::Tensor scales = at::tensor(values, at::kDouble).to(svd.left.device());
  return (svd.left * scales).to(at::kFloat).mm(svd.right.to(at::kFloat).t());
}

}  // namespace suture
