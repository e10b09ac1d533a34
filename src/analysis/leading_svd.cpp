#include "analysis/leading_svd.h"

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
#include "analysis/row_chunks.h"
#include "analysis/sketch.h"
#include "stream/worker_pool.h"

namespace suture {
namespace {

constexpr std::int64_t kKrylovBlocks = 6;
constexpr std::int64_t kResidualColumns = 16;
constexpr double kFailureProbability = 1e-9;  // of one bound
constexpr double kRounding = 1.0001;          // of products in float32
constexpr double kTightEnough = 1e-2;         // of s_1: then the certain bound will do

std::int64_t columns_of_sketch(const LeadingSvdOptions& options) {
  return options.rank + kOversampling;
}

bool is_for_full_svd(const at::Tensor& matrix, const LeadingSvdOptions& options) {
  const std::int64_t side = std::min(matrix.size(0), matrix.size(1));
  const std::int64_t basis = kKrylovBlocks * (columns_of_sketch(options) + kResidualColumns);
  return side <= std::max(options.exact_side, basis);
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

// Rounding of a'a in a's own precision: its largest singular value, in |a|_F^2 epsilon. Sums of
// some hundred terms at random err by some epsilon; those of one sign and size by a few more.
constexpr double kGramRounding = 16;
constexpr std::int64_t kGramSide = 2048;  // of larger ones a'a costs more than products with a
constexpr double kSmallest = std::numeric_limits<double>::min();

double epsilon_of(const at::Tensor& a) {
  return a.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                        : std::numeric_limits<float>::epsilon();
}

// Directions so weak beside the first that the rounding of a'a moves them.
bool is_lost_in_rounding(const LeadingSvd& svd, double last, const at::Tensor& a) {
  constexpr double kVisible = 1e4, kNothing = 1e-6;
  const double largest = svd.values.front();
  return last * last < kVisible * epsilon_of(a) * largest * largest &&
         svd.certain_error_bound > kNothing * largest;
}

// How a'a is multiplied with.
struct GramOperator {
  at::Tensor a;
  at::Tensor gram;  // a'a where it is there

  // Up to a factor, which leaves the span alone and keeps small numbers from vanishing.
  at::Tensor times(const at::Tensor& x) const {
    if (gram.defined()) return gram.mm(x);
    const at::Tensor y = a.mm(x);
    return a.t().mm(y / y.abs().max().clamp_min(std::numeric_limits<float>::min()));
  }
};

struct KrylovBasis {
  at::Tensor vectors;  // orthonormal columns
  at::Tensor images;   // a'a times them, where a'a is there
};

// Columns that span `start`, (a'a) start, ... in the complement of `beside` (or everywhere).
KrylovBasis krylov_basis(const GramOperator& product, const at::Tensor& start,
                         const at::Tensor& beside, std::int64_t blocks, const RunOptions* run) {
  at::Tensor block = start, all = beside;
  std::vector<at::Tensor> images;
  for (std::int64_t step = 0; step < blocks; ++step) {
    if (run != nullptr) stream::check_cancelled(*run);
    if (step > 0) block = images.back();
    block = orthonormal_beside(all, block);
    all = all.defined() ? at::cat({all, block}, 1) : block;
    const bool is_last = step + 1 == blocks;
    if (!is_last || product.gram.defined()) images.push_back(product.times(block));
  }
  const std::int64_t before = beside.defined() ? beside.size(1) : 0;
  return {all.narrow(1, before, all.size(1) - before),
          product.gram.defined() ? at::cat(images, 1) : at::Tensor()};
}

struct Products {
  at::Tensor ax;     // (a x)', where it was asked for
  at::Tensor gram;   // (a x)' (a x)
  double total = 0;  // |a|_F^2
};

Products products_of(const at::Tensor& a, const at::Tensor& x, bool keep) {
  Products products;
  products.gram = at::zeros({x.size(1), x.size(1)}, x.options());
  at::Tensor total = at::zeros({}, x.options());
  const at::Tensor transposed = x.t().contiguous();
  std::vector<at::Tensor> parts;
  for_each_row_chunk(a, [&](std::int64_t first, std::int64_t count) {
    const at::Tensor rows = a.narrow(0, first, count).to(at::kDouble);
    const at::Tensor product = transposed.mm(rows.t());  // few rows times many columns: quicker
    products.gram.addmm_(product, product.t());
    total += at::linalg_vector_norm(rows).square();
    if (keep) parts.push_back(product);
  });
  products.total = total.item<double>();
  if (keep) products.ax = at::cat(parts, 1);
  return products;
}

struct Eigen {
  at::Tensor values, vectors;  // falling
};

Eigen eigen_of(const at::Tensor& symmetric) {
  const auto [values, vectors] = at::linalg_eigh(symmetric.to(at::kDouble));
  return {values.flip(0).clamp_min(0), vectors.flip(1)};
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

// The largest singular value of what `basis` leaves of `a`, as a second sketch sees it.
double seen_of_rest(const GramOperator& product, const at::Tensor& basis, const at::Tensor& start,
                    const RunOptions* run) {
  const KrylovBasis found = krylov_basis(product, start, basis, kKrylovBlocks, run);
  if (product.gram.defined()) {
    const at::Tensor gram = found.vectors.t().mm(found.images).to(at::kDouble);
    return std::sqrt(std::max(0.0, at::linalg_eigvalsh(gram).max().item<double>()));
  }
  const at::Tensor seen = product.a.mm(found.vectors);
  const at::Tensor size = seen.abs().max().clamp_min(std::numeric_limits<float>::min());
  const at::Tensor scaled = seen / size;
  const at::Tensor gram = scaled.t().mm(scaled).to(at::kDouble);
  return size.item<double>() *
         std::sqrt(std::max(0.0, at::linalg_eigvalsh(gram).max().item<double>()));
}

// `square_error` is how far what was multiplied with may be from a'a.
void add_bounds(LeadingSvd& svd, const GramOperator& product, const at::Tensor& basis,
                const at::Tensor& start, double square_error, const LeadingSvdOptions& options) {
  const double largest = svd.values.front();
  double held = 0;
  for (const double value : svd.values) held += value * value;
  svd.certain_error_bound = std::sqrt(std::max(0.0, svd.squares - held));
  svd.error_bound = svd.certain_error_bound;
  svd.largest_at_most = std::hypot(largest, svd.error_bound);
  if (!options.with_bounds || svd.error_bound <= kTightEnough * largest) return;
  const std::int64_t dimension = product.a.size(1);
  const double rest = kRounding * seen_of_rest(product, basis, start, options.run) *
                      factor_of_estimate(dimension - basis.size(1), start.size(1));
  // Once for what is left, and twice for the values, which come from the basis by way of a'a.
  svd.error_bound = std::min(svd.error_bound, std::sqrt(rest * rest + 3 * square_error));
  const double likely = std::sqrt(largest * largest + 2 * square_error) *
                        factor_of_estimate(dimension, columns_of_sketch(options));
  svd.largest_at_most = std::min(std::hypot(largest, svd.error_bound), likely);
  svd.failure_probability = 2 * kFailureProbability;
}

struct Sketch {
  at::Tensor start, other_start;
  std::int64_t blocks = 0;
};

// The values of a on all of the basis, and the first vectors.
LeadingSvd svd_by_products(const at::Tensor& a, const Sketch& sketch,
                           const LeadingSvdOptions& options) {
  const GramOperator product{a, {}};
  const KrylovBasis found = krylov_basis(product, sketch.start, {}, sketch.blocks, options.run);
  const at::Tensor basis = std::get<0>(at::linalg_qr(found.vectors.to(at::kDouble)));
  const Products products = products_of(a, basis, false);
  const Eigen eigen = eigen_of(products.gram);
  LeadingSvd svd;
  svd.values = to_vector(eigen.values.sqrt());
  svd.squares = products.total;
  add_bounds(svd, product, basis.to(a.scalar_type()), sketch.other_start, 0, options);
  if (!options.with_vectors) return svd;
  svd.right = basis.mm(eigen.vectors.narrow(1, 0, options.rank));
  svd.left = products_of(a, svd.right, true).ax.t() /
             eigen.values.narrow(0, 0, options.rank).sqrt().clamp_min(kSmallest);
  return svd;
}

// The same, if it can be, where a'a costs less than many products with a: the directions and the
// later values are those of a'a as it was rounded, the first values those of a on these directions.
std::optional<LeadingSvd> svd_by_gram(const at::Tensor& a, const Sketch& sketch,
                                      const LeadingSvdOptions& options) {
  const GramOperator product{a, gram_matrix(a, options.run)};
  const double trace = product.gram.trace().item<double>();
  if (!is_safe_in_float32(trace)) return {};
  const auto [basis, images] = krylov_basis(product, sketch.start, {}, sketch.blocks, options.run);
  const Eigen of_gram = eigen_of(basis.t().mm(images));
  const at::Tensor directions = std::get<0>(
      at::linalg_qr(basis.to(at::kDouble).mm(of_gram.vectors.narrow(1, 0, options.rank))));
  const Products products = products_of(a, directions, options.with_vectors);
  const Eigen eigen = eigen_of(products.gram);
  const double square_error = kGramRounding * epsilon_of(a) * products.total;
  LeadingSvd svd;
  svd.values = to_vector(eigen.values.sqrt());
  const double last = svd.values.back();
  for (const double value : to_vector(of_gram.values.slice(0, options.rank)))
    svd.values.push_back(std::min(last, std::sqrt(std::max(0.0, value - square_error))));
  svd.squares = products.total;
  add_bounds(svd, product, basis, sketch.other_start, square_error, options);
  if (is_lost_in_rounding(svd, last, a)) return {};
  if (!options.with_vectors) return svd;
  svd.right = directions.mm(eigen.vectors);
  svd.left = products.ax.t().mm(eigen.vectors) / eigen.values.sqrt().clamp_min(kSmallest);
  return svd;
}

// Of a matrix with no more columns than rows.
LeadingSvd sketched_svd(const at::Tensor& a, const LeadingSvdOptions& options) {
  at::Generator generator = at::detail::createCPUGenerator(options.seed);
  Sketch sketch;
  sketch.start = gaussian_columns(a.size(1), columns_of_sketch(options), generator, a);
  sketch.other_start = gaussian_columns(a.size(1), kResidualColumns, generator, a);
  sketch.blocks = options.with_bounds ? kKrylovBlocks : kSketchBlocks;
  if (a.size(1) <= kGramSide)
    if (auto svd = svd_by_gram(a, sketch, options)) return *std::move(svd);
  return svd_by_products(a, sketch, options);
}

}  // namespace

LeadingSvd leading_svd(const at::Tensor& matrix, const LeadingSvdOptions& options) {
  const at::NoGradGuard no_grad;
  if (is_for_full_svd(matrix, options)) return full_svd(matrix, options);
  const at::Tensor a = to_multiply(matrix);
  if (a.size(0) >= a.size(1)) return sketched_svd(a, options);
  LeadingSvd svd = sketched_svd(a.t(), options);
  std::swap(svd.left, svd.right);
  return svd;
}

}  // namespace suture
