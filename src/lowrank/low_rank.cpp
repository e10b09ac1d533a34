#include "lowrank/low_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "analysis/leading_svd.h"
#include "analysis/row_chunks.h"

namespace suture {
namespace {

constexpr double kNothing = 1e-12;     // of the squares: what float32 cannot tell from zero
constexpr double kNoDirection = 1e-7;  // of the largest value: the same for a direction

// A sketch of more columns than this part of the side is no cheaper than all of a'a.
constexpr std::int64_t kPartOfSide = 6;

struct Directions {
  at::Tensor left, right;  // columns of unit length, float64
  std::vector<double> values;
  double squares = 0;
};

// All directions of a matrix with no more columns than rows, from a'a in float64.
Directions all_directions(const at::Tensor& a) {
  at::Tensor gram = at::zeros({a.size(1), a.size(1)}, a.options().dtype(at::kDouble));
  for_each_row_chunk(a, [&](std::int64_t first, std::int64_t count) {
    const at::Tensor rows = a.narrow(0, first, count).to(at::kDouble);
    gram.addmm_(rows.t(), rows);
  });
  const auto [squares, vectors] = at::linalg_eigh(gram);
  Directions found;
  found.squares = gram.trace().item<double>();
  const at::Tensor values = squares.flip(0).clamp_min(0).sqrt();
  found.values = to_vector(values);
  found.right = vectors.flip(1);
  found.left = at::empty({a.size(0), a.size(1)}, gram.options());
  for_each_row_chunk(a, [&](std::int64_t first, std::int64_t count) {
    found.left.narrow(0, first, count)
        .copy_(a.narrow(0, first, count).to(at::kDouble).mm(found.right));
  });
  found.left /= values.clamp_min(std::numeric_limits<double>::min());
  return found;
}

Directions leading_directions(const at::Tensor& matrix, const LowRankOptions& options) {
  LeadingSvdOptions svd_options;
  svd_options.rank = *options.rank;
  svd_options.seed = options.seed;
  svd_options.exact_side = 0;
  svd_options.with_bounds = false;
  svd_options.run = options.run;
  LeadingSvd svd = leading_svd(matrix, svd_options);
  return {svd.left, svd.right, std::move(svd.values), svd.squares};
}

bool is_for_sketch(const at::Tensor& matrix, const LowRankOptions& options) {
  constexpr std::int64_t kSpare = 32;
  const std::int64_t side = std::min(matrix.size(0), matrix.size(1));
  return options.rank && kPartOfSide * (*options.rank + kSpare) < side;
}

Directions directions_of(const at::Tensor& matrix, const LowRankOptions& options) {
  if (is_for_sketch(matrix, options)) return leading_directions(matrix, options);
  if (matrix.size(0) >= matrix.size(1)) return all_directions(matrix);
  Directions found = all_directions(matrix.t());
  std::swap(found.left, found.right);
  return found;
}

std::int64_t rank_of(const Directions& found, const LowRankOptions& options) {
  const std::int64_t side = std::min(found.left.size(1), found.right.size(1));
  const std::int64_t most = std::min(options.rank.value_or(side), side);
  if (!options.energy) return most;
  double lost = found.squares;
  for (std::int64_t rank = 0; rank < most; ++rank) {
    if (lost <= (1 - *options.energy + kNothing) * found.squares)
      return std::max<std::int64_t>(rank, 1);
    const double value = found.values[static_cast<std::size_t>(rank)];
    lost -= value * value;
  }
  return most;
}

}  // namespace

LowRank low_rank(const at::Tensor& matrix, const LowRankOptions& options) {
  const at::NoGradGuard no_grad;
  const Directions found = directions_of(matrix, options);
  const std::int64_t rank = found.squares > 0 ? rank_of(found, options) : 0;
  std::vector<double> roots;
  for (std::int64_t i = 0; i < rank; ++i) {
    const double value = found.values[static_cast<std::size_t>(i)];
    roots.push_back(value > kNoDirection * found.values.front() ? std::sqrt(value) : 0);
  }
  const at::Tensor scale = at::tensor(roots, at::kDouble).to(matrix.device());
  return {found.left.narrow(1, 0, rank) * scale,
          (found.right.narrow(1, 0, rank) * scale).t().contiguous(), found.squares};
}

Leftover leftover_of(const at::Tensor& matrix, const at::Tensor& up, const at::Tensor& down,
                     const at::Tensor& base) {
  const at::NoGradGuard no_grad;
  const at::Tensor in_double = down.to(at::kDouble);
  Leftover left;
  for_each_row_chunk(matrix, [&](std::int64_t first, std::int64_t count) {
    const at::Tensor product = up.narrow(0, first, count).to(at::kDouble).mm(in_double);
    const at::Tensor delta = matrix.narrow(0, first, count).to(at::kDouble);
    const auto squares_of = [](const at::Tensor& rest) {
      const double norm = at::linalg_vector_norm(rest).item<double>();
      return norm * norm;
    };
    left.squares += squares_of(product - delta);
    if (!base.defined()) return;
    const at::Tensor rows = base.narrow(0, first, count), weights = rows.to(at::kDouble);
    const at::Tensor merged = (weights + product).to(base.scalar_type()).to(at::kDouble);
    left.merged_squares += squares_of(merged.sub_(weights).sub_(delta));
  });
  return left;
}

}  // namespace suture
