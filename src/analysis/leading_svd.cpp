#include "analysis/leading_svd.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include "stream/worker_pool.h"

namespace suture {
namespace {

constexpr std::int64_t kOversampling = 10;
constexpr std::int64_t kKrylovBlocks = 6;
constexpr std::int64_t kResidualColumns = 16;
constexpr double kFailureProbability = 1e-9;  // of one bound
constexpr double kTightEnough = 1e-2;         // of s_1: then the certain bound will do

// What the products go through: as many rows at once as give a megaelement of float64.
constexpr std::int64_t kChunkElements = std::int64_t{1} << 20;

std::int64_t columns_of_sketch(const LeadingSvdOptions& options) {
  return options.rank + kOversampling;
}

bool is_for_full_svd(const at::Tensor& matrix, const LeadingSvdOptions& options) {
  const std::int64_t side = std::min(matrix.size(0), matrix.size(1));
  const std::int64_t basis = kKrylovBlocks * (columns_of_sketch(options) + kResidualColumns);
  return side <= std::max(options.exact_side, basis);
}

std::vector<double> to_vector(const at::Tensor& values) {
  const at::Tensor dense = values.to(at::kCPU, at::kDouble).contiguous();
  const double* data = dense.const_data_ptr<double>();
  return {data, data + dense.numel()};
}

LeadingSvd full_svd(const at::Tensor& matrix, const LeadingSvdOptions& options) {
  const at::Tensor in_double = matrix.to(at::kDouble);
  LeadingSvd svd;
  svd.exact = true;
  if (options.with_vectors) {
    const auto [left, values, right] = at::linalg_svd(in_double, false);
    const std::int64_t rank = std::min(options.rank, values.size(0));
    svd.values = to_vector(values);
    svd.left = left.narrow(1, 0, rank).contiguous();
    svd.right = right.narrow(0, 0, rank).t().contiguous();
  } else {
    svd.values = to_vector(at::linalg_svdvals(in_double));
  }
  for (const double value : svd.values) svd.squares += value * value;
  svd.largest_at_most = svd.values.empty() ? 0 : svd.values.front();
  return svd;
}

// a' a x up to a factor, which leaves the span alone and keeps small numbers from vanishing.
at::Tensor gram_times(const at::Tensor& a, const at::Tensor& x) {
  const at::Tensor y = a.mm(x);
  return a.t().mm(y / y.abs().max().clamp_min(std::numeric_limits<float>::min()));
}

at::Tensor orthonormal_beside(const at::Tensor& basis, at::Tensor block) {
  for (int pass = 0; pass < 2; ++pass) {
    if (basis.defined()) block = block - basis.mm(basis.t().mm(block));
    block = std::get<0>(at::linalg_qr(block));
  }
  return block;
}

// Columns that span `start`, (a'a) start, ... in the complement of `beside` (or everywhere).
at::Tensor krylov_basis(const at::Tensor& a, const at::Tensor& start, const at::Tensor& beside,
                        const RunOptions* run) {
  at::Tensor block = start, basis = beside;
  for (std::int64_t step = 0; step < kKrylovBlocks; ++step) {
    if (run != nullptr) stream::check_cancelled(*run);
    if (step > 0) block = gram_times(a, block);
    block = orthonormal_beside(basis, block);
    basis = basis.defined() ? at::cat({basis, block}, 1) : block;
  }
  const std::int64_t before = beside.defined() ? beside.size(1) : 0;
  return basis.narrow(1, before, basis.size(1) - before);
}

// In float64, some rows of `a` after the others: it may be too large to be there twice.
template <typename Work>
void for_each_chunk(const at::Tensor& a, Work work) {
  const std::int64_t scale = a.is_cpu() ? 1 : 64;
  const std::int64_t rows = std::max<std::int64_t>(1, scale * kChunkElements / a.size(1));
  for (std::int64_t first = 0; first < a.size(0); first += rows)
    work(a.narrow(0, first, std::min(rows, a.size(0) - first)).to(at::kDouble));
}

struct Squares {
  at::Tensor gram;   // (a x)' (a x)
  double total = 0;  // |a|_F^2
};

Squares squares_of(const at::Tensor& a, const at::Tensor& x) {
  Squares squares;
  squares.gram = at::zeros({x.size(1), x.size(1)}, x.options());
  at::Tensor total = at::zeros({}, x.options());
  for_each_chunk(a, [&](const at::Tensor& rows) {
    const at::Tensor product = rows.mm(x);
    squares.gram.addmm_(product.t(), product);
    total += rows.square().sum();
  });
  squares.total = total.item<double>();
  return squares;
}

at::Tensor product_in_double(const at::Tensor& a, const at::Tensor& x) {
  std::vector<at::Tensor> parts;
  for_each_chunk(a, [&](const at::Tensor& rows) { parts.push_back(rows.mm(x)); });
  return at::cat(parts, 0);
}

// How many times larger than the estimate of a block Lanczos process the largest singular value may
// be, on a space of `dimension`. One column with k blocks misses the largest eigenvalue by a part
// of more than e with probability at most 1.648 sqrt(dimension) exp(-sqrt(e) (2k - 1)); the columns
// are independent, and all of them would have to miss it.
double factor_of_estimate(std::int64_t dimension, std::int64_t columns) {
  const double by_column = std::pow(kFailureProbability, 1.0 / static_cast<double>(columns));
  const double root = std::log(1.648 * std::sqrt(static_cast<double>(dimension)) / by_column) /
                      (2.0 * static_cast<double>(kKrylovBlocks) - 1);
  return root < 1 ? 1 / std::sqrt(1 - root * root) : std::numeric_limits<double>::infinity();
}

// The largest singular value of what `basis` leaves of `a`, as a second sketch sees it, enlarged.
double likely_bound(const at::Tensor& a, const at::Tensor& basis, const at::Tensor& start,
                    const RunOptions* run) {
  const at::Tensor found = krylov_basis(a, start, basis.to(a.scalar_type()), run);
  const at::Tensor clean = orthonormal_beside(basis, found.to(at::kDouble));
  const at::Tensor largest = at::linalg_eigvalsh(squares_of(a, clean).gram).max();
  return std::sqrt(std::max(0.0, largest.item<double>())) *
         factor_of_estimate(a.size(1) - basis.size(1), start.size(1));
}

void add_bounds(LeadingSvd& svd, const at::Tensor& a, const at::Tensor& basis,
                const at::Tensor& start, const LeadingSvdOptions& options) {
  const double largest = svd.values.front();
  double held = 0;
  for (const double value : svd.values) held += value * value;
  svd.certain_error_bound = std::sqrt(std::max(0.0, svd.squares - held));
  svd.error_bound = svd.certain_error_bound;
  svd.largest_at_most = std::hypot(largest, svd.error_bound);
  if (!options.with_bounds || svd.error_bound <= kTightEnough * largest) return;
  svd.error_bound = std::min(svd.error_bound, likely_bound(a, basis, start, options.run));
  const double likely = largest * factor_of_estimate(a.size(1), columns_of_sketch(options));
  svd.largest_at_most = std::min(std::hypot(largest, svd.error_bound), likely);
  svd.failure_probability = 2 * kFailureProbability;
}

// Of a matrix with no more columns than rows.
LeadingSvd sketched_svd(const at::Tensor& a, const LeadingSvdOptions& options) {
  at::Generator generator = at::detail::createCPUGenerator(options.seed);
  const auto draw = [&](std::int64_t columns) {
    return at::randn({a.size(1), columns}, generator, at::TensorOptions(at::kFloat))
        .to(a.options());
  };
  const at::Tensor start = draw(columns_of_sketch(options)), other_start = draw(kResidualColumns);
  const at::Tensor sketch = krylov_basis(a, start, {}, options.run);
  const at::Tensor basis = std::get<0>(at::linalg_qr(sketch.to(at::kDouble)));

  LeadingSvd svd;
  const Squares squares = squares_of(a, basis);
  const auto [eigenvalues, eigenvectors] = at::linalg_eigh(squares.gram);
  const at::Tensor values = eigenvalues.flip(0).clamp_min(0).sqrt();
  svd.values = to_vector(values);
  svd.squares = squares.total;
  add_bounds(svd, a, basis, other_start, options);
  if (!options.with_vectors) return svd;
  const at::Tensor leading = values.narrow(0, 0, options.rank);
  svd.right = basis.mm(eigenvectors.flip(1).narrow(1, 0, options.rank));
  svd.left =
      product_in_double(a, svd.right) / leading.clamp_min(std::numeric_limits<double>::min());
  return svd;
}

}  // namespace

LeadingSvd leading_svd(const at::Tensor& matrix, const LeadingSvdOptions& options) {
  const at::NoGradGuard no_grad;
  if (is_for_full_svd(matrix, options)) return full_svd(matrix, options);
  if (matrix.size(0) >= matrix.size(1)) return sketched_svd(matrix, options);
  LeadingSvd svd = sketched_svd(matrix.t(), options);
  std::swap(svd.left, svd.right);
  return svd;
}

}  // namespace suture
