#include "lowrank/low_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include "analysis/gram_matrix.h"
#include "analysis/leading_svd.h"
#include "analysis/row_chunks.h"
#include "analysis/sketch.h"
#include "core/scalar_type.h"
#include "kernels/leftover.h"
#include "kernels/statistics.h"
#include "stream/worker_pool.h"

namespace suture {
namespace {

// What the squares of values may miss of an energy, in the squared norm of the matrix: next to
// nothing, and less than nothing where rounding may have made the values too large.
constexpr double kMayMiss = 1e-12, kMayMissInFloat = -1e-6;
constexpr double kNoDirection = 1e-7;  // of the largest value: what float32 cannot tell from zero
constexpr double kSmallest = std::numeric_limits<double>::min();

// A sketch of more columns than this part of the side is no cheaper than all of a'a.
constexpr std::int64_t kPartOfSide = 6;

// The least that the sketch must leave over, in the largest squared value. Rounding in float32
// moves each squared value by some hundred epsilon of the largest; what that takes from all of them
// together is of the second order, and beside more than this it does not show.
constexpr double kLeastLeft = 1e-2;

// The leading singular vectors that are wanted: columns of unit length, but for rounding.
struct Directions {
  at::Tensor left, right;  // float64
  std::vector<double> values;
  double squares = 0;  // |a|_F^2
};

void check_cancelled(const RunOptions* run) {
  if (run != nullptr) stream::check_cancelled(*run);
}

double squares_of(const at::Tensor& values) {
  const double norm = at::linalg_vector_norm(values).item<double>();
  return norm * norm;
}

double squares_of_matrix(const at::Tensor& matrix) {
  const at::Tensor as_it_lies = matrix.stride(1) == 1 ? matrix : matrix.t();
  double sum = 0;
  for_each_row_chunk(as_it_lies, [&](std::int64_t first, std::int64_t count) {
    const at::Tensor rows = as_it_lies.narrow(0, first, count).contiguous();
    sum += matrix.is_cpu()
               ? kernels::sum_of_squares({rows.const_data_ptr(), dtype_of(rows.scalar_type())},
                                         static_cast<std::size_t>(rows.numel()))
               : squares_of(rows.to(at::kDouble));
  });
  return sum;
}

// How many of the values, which fall, are wanted.
std::int64_t rank_of(const std::vector<double>& values, double squares, double may_miss,
                     const LowRankOptions& options) {
  const auto computed = static_cast<std::int64_t>(values.size());
  const std::int64_t most = std::min(options.rank.value_or(computed), computed);
  if (!(squares > 0)) return 0;
  if (!options.energy) return most;
  double lost = squares;
  for (std::int64_t rank = 0; rank < most; ++rank) {
    if (lost <= (1 - *options.energy + may_miss) * squares) return std::max<std::int64_t>(rank, 1);
    const double value = values[static_cast<std::size_t>(rank)];
    lost -= value * value;
  }
  return most;
}

// Of a matrix with no more columns than rows, from a'a in float64.
Directions all_directions(const at::Tensor& a, const LowRankOptions& options) {
  at::Tensor gram = at::zeros({a.size(1), a.size(1)}, a.options().dtype(at::kDouble));
  for_each_row_chunk(a, [&](std::int64_t first, std::int64_t count) {
    check_cancelled(options.run);
    const at::Tensor rows = a.narrow(0, first, count).to(at::kDouble);
    gram.addmm_(rows.t(), rows);
  });
  const auto [squares, vectors] = at::linalg_eigh(gram);
  const at::Tensor values = squares.flip(0).clamp_min(0).sqrt();
  Directions found;
  found.squares = gram.trace().item<double>();
  found.values = to_vector(values);
  const std::int64_t rank = rank_of(found.values, found.squares, kMayMiss, options);
  found.right = vectors.flip(1).narrow(1, 0, rank);
  found.left = at::empty({a.size(0), rank}, gram.options());
  for_each_row_chunk(a, [&](std::int64_t first, std::int64_t count) {
    check_cancelled(options.run);
    found.left.narrow(0, first, count)
        .copy_(a.narrow(0, first, count).to(at::kDouble).mm(found.right));
  });
  found.left /= values.narrow(0, 0, rank).clamp_min(kSmallest);
  return found;
}

// A few more than asked for, in sixteens: products with them take as long as with fewer.
std::int64_t columns_in_sixteens(std::int64_t rank) {
  return (rank + kOversampling + 15) / 16 * 16;
}

struct KrylovSpace {
  at::Tensor basis;   // orthonormal columns that span x, (a'a) x, ... for random x
  at::Tensor images;  // a times them
};

KrylovSpace krylov_space(const at::Tensor& a, const LowRankOptions& options) {
  const at::Generator generator = at::detail::createCPUGenerator(options.seed);
  at::Tensor block = gaussian_columns(a.size(1), columns_in_sixteens(*options.rank), generator, a);
  at::Tensor basis;
  std::vector<at::Tensor> images;
  for (std::int64_t step = 0; step < kSketchBlocks; ++step) {
    check_cancelled(options.run);
    block = orthonormal_beside(basis, block);
    basis = basis.defined() ? at::cat({basis, block}, 1) : block;
    const GramProduct found = gram_product(a, block, step + 1 < kSketchBlocks);
    images.push_back(found.image);
    block = found.product;
  }
  return {basis, at::cat(images, 1)};
}

// From products with the matrix in its own precision. Nothing where their rounding, or what float32
// can hold, might show in what is left over.
std::optional<Directions> krylov_directions(const at::Tensor& a, const LowRankOptions& options) {
  Directions found;
  found.squares = squares_of_matrix(a);
  if (!is_safe_in_float32(found.squares)) return {};
  const auto [basis, images] = krylov_space(a, options);
  const auto [squares, vectors] = at::linalg_eigh(gram_matrix(images, options.run).to(at::kDouble));
  const at::Tensor leading = squares.flip(0).narrow(0, 0, *options.rank).clamp_min(0);
  const double left_over = found.squares - leading.sum().item<double>();
  if (!(left_over >= kLeastLeft * leading[0].item<double>())) return {};
  found.values = to_vector(leading.sqrt());
  const std::int64_t rank = rank_of(found.values, found.squares, kMayMissInFloat, options);
  const at::Tensor chosen = vectors.flip(1).narrow(1, 0, rank);
  found.right = basis.to(at::kDouble).mm(chosen);
  found.left = images.mm(chosen.to(a.scalar_type())).to(at::kDouble) /
               leading.narrow(0, 0, rank).sqrt().clamp_min(kSmallest);
  return found;
}

// For what krylov_directions refuses: the last products are in float64, and weak directions beside
// strong ones, or numbers of any size, come out right.
Directions careful_directions(const at::Tensor& a, const LowRankOptions& options) {
  LeadingSvdOptions svd_options;
  svd_options.rank = *options.rank;
  svd_options.seed = options.seed;
  svd_options.exact_side = 0;
  svd_options.with_bounds = false;
  svd_options.run = options.run;
  LeadingSvd svd = leading_svd(a, svd_options);
  const std::int64_t rank = rank_of(svd.values, svd.squares, kMayMiss, options);
  return {svd.left.narrow(1, 0, rank), svd.right.narrow(1, 0, rank), std::move(svd.values),
          svd.squares};
}

bool is_for_sketch(const at::Tensor& a, const LowRankOptions& options) {
  constexpr std::int64_t kSpare = 32;
  return options.rank && kPartOfSide * (*options.rank + kSpare) < a.size(1);
}

Directions directions_of_tall(const at::Tensor& a, const LowRankOptions& options) {
  if (!is_for_sketch(a, options)) return all_directions(a, options);
  auto found = krylov_directions(to_multiply(a), options);
  return found ? *std::move(found) : careful_directions(a, options);
}

Directions directions_of(const at::Tensor& matrix, const LowRankOptions& options) {
  if (matrix.size(0) >= matrix.size(1)) return directions_of_tall(matrix, options);
  Directions found = directions_of_tall(matrix.t(), options);
  std::swap(found.left, found.right);
  return found;
}

kernels::LeftoverSquares squares_by_torch(const at::Tensor& product, const at::Tensor& delta,
                                          const at::Tensor& base) {
  const at::Tensor change = delta.to(at::kDouble);
  kernels::LeftoverSquares squares;
  squares.change = squares_of(product - change);
  if (!base.defined()) return squares;
  const at::Tensor weights = base.to(at::kDouble);
  const at::Tensor merged = (weights + product).to(base.scalar_type()).to(at::kDouble);
  squares.merged = squares_of(merged - weights - change);
  return squares;
}

// In one pass over what a product of a few rows has left in the cache.
kernels::LeftoverSquares squares_on_cpu(const at::Tensor& product, const at::Tensor& delta,
                                        const at::Tensor& base) {
  const at::Tensor change = delta.contiguous();
  const at::Tensor weights = base.defined() ? base.contiguous() : base;
  kernels::StoredTile stored;
  if (base.defined()) stored = {weights.const_data_ptr(), dtype_of(weights.scalar_type())};
  const auto count = static_cast<std::size_t>(product.numel());
  const double* sums = product.const_data_ptr<double>();
  return change.scalar_type() == at::kDouble
             ? kernels::leftover_squares(sums, change.const_data_ptr<double>(), stored, count)
             : kernels::leftover_squares(sums, change.const_data_ptr<float>(), stored, count);
}

}  // namespace

LowRank low_rank(const at::Tensor& matrix, const LowRankOptions& options) {
  const at::NoGradGuard no_grad;
  LowRankOptions within = options;
  if (options.rank) within.rank = std::min({*options.rank, matrix.size(0), matrix.size(1)});
  const Directions found = directions_of(matrix, within);
  std::vector<double> roots;
  for (std::int64_t i = 0; i < found.left.size(1); ++i) {
    const double value = found.values[static_cast<std::size_t>(i)];
    roots.push_back(value > kNoDirection * found.values.front() ? std::sqrt(value) : 0);
  }
  const at::Tensor scale = at::tensor(roots, at::kDouble).to(matrix.device());
  return {found.left * scale, (found.right * scale).t().contiguous(), found.squares};
}

Leftover leftover_of(const at::Tensor& matrix, const at::Tensor& up, const at::Tensor& down,
                     const at::Tensor& base, const RunOptions* run) {
  const at::NoGradGuard no_grad;
  const at::Tensor in_double = down.to(at::kDouble);
  Leftover left;
  for_each_row_chunk(matrix, [&](std::int64_t first, std::int64_t count) {
    check_cancelled(run);
    const at::Tensor product = up.narrow(0, first, count).to(at::kDouble).mm(in_double);
    const at::Tensor delta = matrix.narrow(0, first, count);
    const at::Tensor weights = base.defined() ? base.narrow(0, first, count) : base;
    const kernels::LeftoverSquares squares = matrix.is_cpu()
                                                 ? squares_on_cpu(product, delta, weights)
                                                 : squares_by_torch(product, delta, weights);
    left.squares += squares.change;
    left.merged_squares += squares.merged;
  });
  return left;
}

}  // namespace suture
