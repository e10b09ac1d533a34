#include "suture/spectrum.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <unordered_map>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "suture/error.h"

#include "analysis/analyzed_base.h"
#include "analysis/leading_svd.h"
#include "analysis/rank_bounds.h"
#include "analysis/subspaces.h"
#include "analysis/weight_masks.h"
#include "core/one_torch_thread.h"
#include "core/scalar_type.h"
#include "stream/worker_pool.h"
#include "surgery/materialize.h"

namespace suture {
namespace {

constexpr double kMaskShare = 0.3;
constexpr std::uint64_t kSmallMatrix = std::uint64_t{8} << 20;  // entries

// One vector on the tensor at hand.
struct Matrix {
  at::Tensor delta;
  LeadingSvd svd;
};

std::string reason_of(std::int64_t non_finite) {
  return std::to_string(non_finite) + (non_finite == 1 ? " entry is" : " entries are") +
         " NaN or infinite";
}

KnownSpectrum known_of(const LeadingSvd& svd, std::int64_t side) {
  KnownSpectrum known{svd.values, svd.values, svd.squares, 0, 0};
  known.remaining = side - static_cast<std::int64_t>(svd.values.size());
  if (svd.exact) return known;
  known.remaining_at_most = std::min(svd.error_bound, svd.largest_at_most);
  double at_most = svd.largest_at_most;
  for (std::size_t i = 0; i < known.high.size(); ++i) {
    const double by_norm = std::sqrt(svd.squares / static_cast<double>(i + 1));
    at_most = std::min({at_most, by_norm, std::hypot(svd.values[i], svd.error_bound)});
    known.high[i] = std::max(at_most, svd.values[i]);
  }
  return known;
}

void add_singular_values(const LeadingSvd& svd, const at::Tensor& delta, std::int64_t wanted,
                         TensorSpectrum& spectrum) {
  const auto rows = static_cast<double>(delta.size(0)),
             columns = static_cast<double>(delta.size(1));
  const std::int64_t side = std::min(delta.size(0), delta.size(1));
  spectrum.rank = std::min(wanted, side);
  spectrum.exact = svd.exact;
  spectrum.singular_values.assign(svd.values.begin(), svd.values.begin() + spectrum.rank);
  spectrum.error_bound = svd.error_bound;
  spectrum.certain_error_bound = svd.certain_error_bound;
  spectrum.failure_probability = svd.failure_probability;
  const KnownSpectrum known = known_of(svd, side);
  spectrum.stable_rank = stable_rank_of(known);
  spectrum.effective_rank = effective_rank_of(known);
  if (svd.squares > 0)
    spectrum.rank1_energy = svd.values.front() * svd.values.front() / svd.squares;
  spectrum.rank1_energy_of_noise =
      std::pow(std::sqrt(rows) + std::sqrt(columns), 2) / (rows * columns);
}

class SpectrumPass {
 public:
  SpectrumPass(const std::vector<AnalyzedVector>& vectors, const SpectrumOptions& options)
      : vectors_(vectors), options_(options) {
    report_.rank = options.rank;
    report_.seed = options.seed;
    for (std::size_t j = 0; j < vectors.size(); ++j) {
      report_.vectors.push_back(vectors[j].name);
      bases_.push_back(base_of(vectors[j]));
      for (std::size_t i = 0; i < j; ++i) report_.pairs.emplace_back(i, j);
    }
    list_tensors();
  }

  SpectrumReport run() {
    const std::uint64_t elements =
        std::accumulate(report_.tensors.begin(), report_.tensors.end(), std::uint64_t{0},
                        [](std::uint64_t sum, const SpectrumRow& row) { return sum + size(row); });
    stream::ProgressMeter meter(options_.run, "spectra", elements * sizeof(float));
    std::vector<SpectrumRow*> small;
    for (SpectrumRow& row : report_.tensors) {
      if (is_small(row)) {
        small.push_back(&row);
      } else {
        measure(row, options_.run);
        meter.add(size(row) * sizeof(float));
      }
    }
    measure_at_once(small, meter);
    meter.finish();
    return std::move(report_);
  }

 private:
  static std::uint64_t size(const SpectrumRow& row) {
    return static_cast<std::uint64_t>(row.shape[0]) * static_cast<std::uint64_t>(row.shape[1]);
  }

  bool is_small(const SpectrumRow& row) const {
    return options_.device.is_cpu() && size(row) <= kSmallMatrix;
  }

  // Much of a small matrix's time goes to steps that one thread takes: several at once, then, each
  // on one thread from first to last.
  void measure_at_once(const std::vector<SpectrumRow*>& rows, stream::ProgressMeter& meter) const {
    RunOptions on_one_thread = options_.run;
    on_one_thread.threads = 1;
    stream::run_jobs(rows.size(), options_.run, [&]() -> stream::Worker {
      const auto alone = std::make_shared<OneTorchThread>(true);
      return [&, alone](std::size_t job) {
        const at::NoGradGuard no_grad;
        measure(*rows[job], on_one_thread);
        meter.add(size(*rows[job]) * sizeof(float));
      };
    });
  }

  void list_tensors() {
    std::unordered_map<std::string, std::vector<std::int64_t>> shapes;
    for (const AnalyzedVector& analyzed : vectors_) {
      for (const std::string& name : analyzed.vector.names()) {
        const auto terms = active_terms(analyzed.vector.form(), name);
        if (terms.empty()) continue;
        const auto& shape = terms.front().minuend->shape;
        const auto [known, is_new] = shapes.emplace(name, shape);
        if (is_new) list(name, shape);
        if (known->second != shape)
          throw CompatibilityError(
              {{}, name, to_string(shape) + " in " + analyzed.name, to_string(known->second), {}});
      }
    }
  }

  void list(const std::string& name, const std::vector<std::int64_t>& shape) {
    const auto dimensions = shape.size();
    if (dimensions != 2) {
      report_.left_out.push_back(
          {name, std::to_string(dimensions) + (dimensions == 1 ? " dimension" : " dimensions")});
    } else if (shape[0] == 0 || shape[1] == 0) {
      report_.left_out.push_back({name, "no entries"});
    } else {
      report_.tensors.push_back({name, shape, {}, {}, {}});
    }
  }

  void measure(SpectrumRow& row, const RunOptions& run) const {
    row.vectors.resize(vectors_.size());
    row.reasons.resize(vectors_.size());
    row.pairs.resize(report_.pairs.size());
    std::vector<Matrix> matrices(vectors_.size());
    for (std::size_t v = 0; v < vectors_.size(); ++v) {
      stream::check_cancelled(run);
      const auto terms = active_terms(vectors_[v].vector.form(), row.name);
      if (terms.empty()) continue;
      matrices[v].delta = materialize_terms(terms, run).to(options_.device);
      measure(row, v, matrices[v], run);
    }
    for (std::size_t p = 0; p < report_.pairs.size(); ++p) {
      const auto [i, j] = report_.pairs[p];
      if (!row.vectors[i] || !row.vectors[j]) continue;
      stream::check_cancelled(run);
      PairSpectrum& pair = row.pairs[p].emplace();
      compare_subspaces(matrices[i].svd, matrices[j].svd, options_.rank, pair);
      compare_signs_and_masks(matrices[i].delta, matrices[j].delta, pair);
    }
  }

  LeadingSvdOptions svd_options(const RunOptions& run) const {
    LeadingSvdOptions options;
    options.rank = options_.rank;
    options.seed = options_.seed;
    options.exact_side = options_.exact_side;
    options.run = &run;
    options.with_vectors = vectors_.size() > 1;  // pairs compare them
    return options;
  }

  void measure(SpectrumRow& row, std::size_t v, Matrix& matrix, const RunOptions& run) const {
    if (const std::int64_t bad = count_non_finite(matrix.delta); bad > 0) {
      row.reasons[v] = reason_of(bad);
      return;
    }
    TensorSpectrum& spectrum = row.vectors[v].emplace();
    matrix.svd = leading_svd(matrix.delta, svd_options(run));
    add_singular_values(matrix.svd, matrix.delta, options_.rank, spectrum);
    spectrum.unchanged_bitwise = zero_share(matrix.delta);
    if (const at::Tensor base = base_matrix(row, v); base.defined())
      compare_with_base(matrix.delta, base, spectrum, run);
  }

  // Undefined where there is none that can be computed with.
  at::Tensor base_matrix(const SpectrumRow& row, std::size_t v) const {
    const TensorInfo* info = bases_[v] ? bases_[v]->find(row.name) : nullptr;
    if (info == nullptr || !is_computable(info->dtype) || info->shape != row.shape) return {};
    const at::Tensor* present = bases_[v]->in_memory(*info);
    at::Tensor base =
        present != nullptr ? present->detach().to(options_.device) : read_base(*bases_[v], *info);
    if (base.scalar_type() != at::kDouble) base = base.to(at::kFloat);
    return count_non_finite(base) == 0 ? base : at::Tensor();
  }

  at::Tensor read_base(const TensorSource& source, const TensorInfo& info) const {
    const at::Tensor read = at::empty(info.shape, *scalar_type_of(info.dtype));
    source.read(info, 0, info.bytes, read.mutable_data_ptr());
    return read.to(options_.device);
  }

  void compare_with_base(const at::Tensor& delta, const at::Tensor& base, TensorSpectrum& spectrum,
                         const RunOptions& run) const {
    spectrum.unchanged_relative = relatively_unchanged_share(delta, base);
    spectrum.realisable = realisable_share(delta, base);
    spectrum.changed_in_small_weights = changed_among(delta, base, Extreme::kSmallest, kMaskShare);
    LeadingSvdOptions options = svd_options(run);
    options.with_bounds = false;
    options.with_vectors = true;
    const LeadingSvd of_base = leading_svd(base, options);
    spectrum.changed_in_principal_weights =
        changed_among(delta, leading_part(of_base), Extreme::kLargest, kMaskShare);
    options.with_vectors = false;
    spectrum.spectral_drift =
        spectral_drift(leading_svd(base + delta, options), of_base, options_.rank);
  }

  const std::vector<AnalyzedVector>& vectors_;
  const SpectrumOptions& options_;
  std::vector<SourcePtr> bases_;
  SpectrumReport report_;
};

}  // namespace

SpectrumReport analyze_spectrum(const std::vector<AnalyzedVector>& vectors,
                                const SpectrumOptions& options) {
  if (vectors.empty()) throw UsageError({{}, {}, "no vector to analyse", "at least one", {}});
  if (options.rank < 1) {
    throw UsageError(
        {{}, {}, "a rank of " + std::to_string(options.rank), "1 or more directions", {}});
  }
  require_device(options.device);
  const at::NoGradGuard no_grad;
  return SpectrumPass(vectors, options).run();
}

}  // namespace suture
