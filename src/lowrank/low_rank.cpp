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
#include "analysis/orthonormal.h"
#include "analysis/row_chunks.h"
#include "core/scalar_type.h"
#include "kernels/leftover.h"
#include "kernels/statistics.h"
#include "stream/worker_pool.h"

namespace suture {
namespace {

constexpr double kNothing = 1e-12;     // of the squares: what float32 cannot tell from zero
constexpr double kNoDirection = 1e-7;  // of the largest value: the same for a direction

// A sketch of more columns than this part of the side is no cheaper than all of a'a.
constexpr std::int64_t kPartOfSide = 6;

constexpr std::int64_t kKrylovBlocks = 4;
constexpr double kLargestSquares = 1e24;  // |a|_F^2 as large, or as small, is safe in float32

// Rounding moves the squares of the leading values by some hundred epsilon of the largest; of what
// is left over that should be next to nothing.
constexpr double kLeastLeft = 1e-2;

struct Directions {
  at::Tensor left, right;  // columns of unit length, float64
  std::vector<double> values;
  double squares = 0;
};

// A few more than asked for, in sixteens: products with them take as long as with fewer.
std::int64_t columns_of_sketch(std::int64_t rank) { return (rank + 10 + 15) / 16 * 16; }

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

struct KrylovSpace {
  at::Tensor basis;   // orthonormal columns that span x, (a'a) x, ... for random x
  at::Tensor images;  // a times them
};

KrylovSpace krylov_space(const at::Tensor& a, const LowRankOptions& options) {
  at::Generator generator = at::detail::createCPUGenerator(options.seed);
  at::Tensor block = at::randn({a.size(1), columns_of_sketch(*options.rank)}, generator,
                               at::TensorOptions(at::kFloat))
                         .to(a.options());
  at::Tensor basis;
  std::vector<at::Tensor> images;
  for (std::int64_t step = 0; step < kKrylovBlocks; ++step) {
    if (options.run != nullptr) stream::check_cancelled(*options.run);
    block = orthonormal_beside(basis, block);
    basis = basis.defined() ? at::cat({basis, block}, 1) : block;
    const GramProduct found = gram_product(a, block, step + 1 < kKrylovBlocks);
    images.push_back(found.image);
    block = found.product;
  }
  return {basis, at::cat(images, 1)};
}

// From products with the matrix in its own precision. Nothing where rounding, or what float32 can
// hold, might show in what is left over.
std::optional<Directions> krylov_directions(const at::Tensor& a, const LowRankOptions& options) {
  const double squares = squares_of_matrix(a);
  if (!(squares > 1 / kLargestSquares && squares < kLargestSquares)) return {};
  const auto [basis, images] = krylov_space(a, options);
  const auto [values, vectors] = at::linalg_eigh(gram_matrix(images, options.run).to(at::kDouble));
  const at::Tensor leading = values.flip(0).narrow(0, 0, *options.rank).clamp_min(0);
  const double left_over = squares - leading.sum().item<double>();
  if (left_over < kLeastLeft * leading[0].item<double>()) return {};
  const at::Tensor chosen = vectors.flip(1).narrow(1, 0, *options.rank);
  Directions found;
  found.squares = squares;
  found.values = to_vector(leading.sqrt());
  found.right = basis.to(at::kDouble).mm(chosen);
  found.left = images.mm(chosen.to(a.scalar_type())).to(at::kDouble) /
               leading.sqrt().clamp_min(std::numeric_limits<double>::min());
  return found;
}

// The same with products in float64, at the end.
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

// Of a matrix with no more columns than rows.
Directions directions_of_tall(const at::Tensor& a, const LowRankOptions& options) {
  if (!is_for_sketch(a, options)) return all_directions(a);
  auto found = krylov_directions(a, options);
  return found ? *std::move(found) : leading_directions(a, options);
}

Directions directions_of(const at::Tensor& matrix, const LowRankOptions& options) {
  if (matrix.size(0) >= matrix.size(1)) return directions_of_tall(matrix, options);
  Directions found = directions_of_tall(matrix.t(), options);
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
