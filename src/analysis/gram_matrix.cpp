#include "analysis/gram_matrix.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "kernels/gram.h"
#include "stream/worker_pool.h"

namespace suture {
namespace {

constexpr std::int64_t kGramRows = 4096;  // of a part, whose sum goes on in float64
constexpr std::int64_t kGramParts = 8;

kernels::MatrixRows rows_of(const at::Tensor& a, std::int64_t begin, std::int64_t end) {
  const auto size = [](std::int64_t value) { return static_cast<std::size_t>(value); };
  return {a.const_data_ptr<float>() + begin * a.stride(0), size(end - begin), size(a.size(1)),
          size(a.stride(0)), size(a.stride(1))};
}

// As many sums as there are parts, so that they do not depend on the number of threads.
at::Tensor gram_on_cpu(const at::Tensor& a, const RunOptions& run) {
  const std::int64_t parts = std::clamp<std::int64_t>(a.size(0) / kGramRows, 1, kGramParts);
  const auto side =
      static_cast<std::int64_t>(kernels::gram_side(static_cast<std::size_t>(a.size(1))));
  const at::Tensor sums = at::zeros({parts, side, side}, at::kDouble);
  stream::run_jobs(static_cast<std::size_t>(parts), run, [&]() -> stream::Worker {
    return [&](std::size_t job) {
      const auto part = static_cast<std::int64_t>(job);
      kernels::add_gram(rows_of(a, a.size(0) * part / parts, a.size(0) * (part + 1) / parts),
                        sums.mutable_data_ptr<double>() + part * side * side);
    };
  });
  const at::Tensor sum = parts == 1 ? sums[0] : sums.sum(0);
  const at::Tensor gram = at::empty({a.size(1), a.size(1)}, at::kFloat);
  kernels::symmetric_of_gram(sum.const_data_ptr<double>(), static_cast<std::size_t>(a.size(1)),
                             gram.mutable_data_ptr<float>());
  return gram;
}

at::Tensor gram_by_products(const at::Tensor& a) {
  at::Tensor sum = at::zeros({a.size(1), a.size(1)}, a.options().dtype(at::kDouble));
  for (std::int64_t row = 0; row < a.size(0); row += kGramRows) {
    const at::Tensor rows = a.narrow(0, row, std::min(kGramRows, a.size(0) - row));
    sum.add_(rows.t().mm(rows));
  }
  const at::Tensor lower = sum.to(a.scalar_type()).tril_();
  return lower + lower.tril(-1).t();
}

bool has_kernel(const at::Tensor& a) { return a.is_cpu() && a.scalar_type() == at::kFloat; }

}  // namespace

at::Tensor gram_matrix(const at::Tensor& a, const RunOptions* run) {
  return has_kernel(a) ? gram_on_cpu(a, run != nullptr ? *run : RunOptions{}) : gram_by_products(a);
}

GramProduct gram_product(const at::Tensor& a, const at::Tensor& x, bool with_product) {
  GramProduct found;
  if (!has_kernel(a)) {
    found.image = a.mm(x);
    if (with_product) found.product = a.t().mm(found.image);
    return found;
  }
  const at::Tensor columns = x.contiguous();
  found.image = at::empty({a.size(0), x.size(1)}, a.options());
  if (with_product) found.product = at::empty({a.size(1), x.size(1)}, a.options());
  kernels::multiply_by_gram(rows_of(a, 0, a.size(0)), columns.const_data_ptr<float>(),
                            static_cast<std::size_t>(x.size(1)),
                            found.image.mutable_data_ptr<float>(),
                            with_product ? found.product.mutable_data_ptr<float>() : nullptr);
  return found;
}

}  // namespace suture
