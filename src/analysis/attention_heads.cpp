#include "suture/attention_heads.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "suture/error.h"
#include "suture/site.h"

#include "stream/worker_pool.h"
#include "surgery/measure.h"
#include "surgery/model_config.h"
#include "surgery/term_reader.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

using Structure = std::map<std::string, std::string>;

std::optional<std::int64_t> count_in(const Structure& structure, const char* name) {
  const auto at = structure.find(name);
  if (at == structure.end()) return std::nullopt;
  std::int64_t value = 0;
  const char* end = at->second.data() + at->second.size();
  const auto [stop, error] = std::from_chars(at->second.data(), end, value);
  if (error != std::errc() || stop != end || value <= 0) return std::nullopt;
  return value;
}

std::optional<std::int64_t> head_size_in(const Structure& structure) {
  if (const auto size = count_in(structure, "head_dim")) return size;
  const auto width = count_in(structure, "hidden_size");
  const auto heads = count_in(structure, "num_attention_heads");
  if (!width || !heads || *width % *heads != 0) return std::nullopt;
  return *width / *heads;
}

std::optional<std::int64_t> head_size_of(const Checkpoint& model) {
  if (is_vector(model)) return head_size_in(require_vector(model).structure);
  if (model.folder().empty()) return std::nullopt;
  const auto config = read_model_config(model.folder());
  return config ? head_size_in(config->structure) : std::nullopt;
}

// The first that is stated.
std::optional<std::int64_t> head_size_of(const std::vector<AnalyzedVector>& vectors) {
  for (const AnalyzedVector& one : vectors) {
    if (one.base)
      if (const auto size = head_size_of(*one.base)) return size;
    for (const SourcePtr& source : sources_of(one.vector.form()))
      if (source->checkpoint() != nullptr)
        if (const auto size = head_size_of(*source->checkpoint())) return size;
  }
  return std::nullopt;
}

// A projection to be measured, and what each vector has of it.
struct Projection {
  HeadMeasures measures;
  std::int64_t rows = 0, columns = 0;
  std::vector<std::vector<ActiveTerm>> terms;  // by vector

  std::int64_t heads() const {
    return (measures.along_columns ? columns : rows) / measures.head_size;
  }
};

bool is_projection(const std::string& module) {
  return module == "q_proj" || module == "k_proj" || module == "v_proj" || module == "o_proj";
}

std::vector<Projection> projections_of(const std::vector<AnalyzedVector>& vectors,
                                       std::int64_t head_size) {
  std::vector<Projection> projections;
  std::map<std::string, std::size_t> known;
  for (std::size_t v = 0; v < vectors.size(); ++v) {
    const TaskVector& vector = vectors[v].vector;
    for (const std::string& name : vector.names()) {
      const Site site = site_of(name);
      if (site.block != Block::kAttention || !is_projection(site.module)) continue;
      const std::vector<ActiveTerm> terms = active_terms(vector.form(), name);
      const std::vector<std::int64_t>& shape = terms.front().minuend->shape;
      const bool along_columns = site.module == "o_proj";
      if (shape.size() != 2 || shape[along_columns ? 1 : 0] % head_size != 0 ||
          terms.front().minuend->elements == 0)
        continue;
      const auto [at, is_new] = known.emplace(name, projections.size());
      if (is_new) {
        projections.push_back({{name, along_columns, head_size, {}, {}}, shape[0], shape[1], {}});
        projections.back().terms.resize(vectors.size());
      }
      Projection& projection = projections[at->second];
      if (projection.rows == shape[0] && projection.columns == shape[1])
        projection.terms[v] = terms;
    }
  }
  return projections;
}

// Measures one projection after the other, a run of a row at a time.
class HeadReader {
 public:
  explicit HeadReader(std::size_t vectors) : readers_(vectors), values_(vectors) {}

  void measure(Projection& projection) {
    const auto heads = static_cast<std::size_t>(projection.heads());
    squares_.assign(readers_.size(), std::vector<double>(heads));
    dots_.assign(readers_.size() * (readers_.size() - 1) / 2, std::vector<double>(heads));
    const std::uint64_t elements = static_cast<std::uint64_t>(projection.rows) *
                                   static_cast<std::uint64_t>(projection.columns);
    for (std::uint64_t first = 0; first < elements; first += kernels::kStatisticsTile)
      add_tile(projection, first,
               static_cast<std::size_t>(
                   std::min<std::uint64_t>(kernels::kStatisticsTile, elements - first)));
    finish(projection.measures);
  }

 private:
  void add_tile(const Projection& projection, std::uint64_t first, std::size_t count) {
    for (std::size_t v = 0; v < readers_.size(); ++v) {
      values_[v].assign(count, 0);
      const auto terms = readers_[v].read(projection.terms[v], first, count);
      if (!terms.empty()) add_up(terms, values_[v]);
    }
    // Within a row and a head elements stand together.
    const auto columns = static_cast<std::uint64_t>(projection.columns);
    const auto size = static_cast<std::uint64_t>(projection.measures.head_size);
    for (std::uint64_t at = first; at < first + count;) {
      const std::uint64_t row = at / columns, column = at % columns;
      const std::uint64_t head = (projection.measures.along_columns ? column : row) / size;
      const std::uint64_t row_end =
          projection.measures.along_columns ? std::min(columns, (head + 1) * size) : columns;
      const std::uint64_t run = std::min(row_end - column, first + count - at);
      add_run(static_cast<std::size_t>(head), static_cast<std::size_t>(at - first),
              static_cast<std::size_t>(run));
      at += run;
    }
  }

  static void add_up(std::span<const kernels::TermTile> terms, std::vector<double>& values) {
    if (kernels::computes_in_double(terms, Dtype::kF32))
      return kernels::sum_of_terms(terms, values.data(), values.size());
    std::vector<float> floats(values.size());
    kernels::sum_of_terms(terms, floats.data(), floats.size());
    std::copy(floats.begin(), floats.end(), values.begin());
  }

  void add_run(std::size_t head, std::size_t begin, std::size_t count) {
    for (std::size_t v = 0; v < values_.size(); ++v) {
      const double* own = values_[v].data() + begin;
      squares_[v][head] += kernels::sum_of_squares({own, Dtype::kF64}, count);
      for (std::size_t u = 0; u < v; ++u)
        dots_[pair_position(u, v)][head] +=
            kernels::measure_pair(values_[u].data() + begin, own, count).dot;
    }
  }

  void finish(HeadMeasures& measures) const {
    measures.norms = squares_;
    for (std::vector<double>& heads : measures.norms)
      for (double& norm : heads) norm = std::sqrt(norm);
    measures.cosines = dots_;
    for (std::size_t v = 0; v < squares_.size(); ++v)
      for (std::size_t u = 0; u < v; ++u)
        for (std::size_t h = 0; h < squares_[v].size(); ++h) {
          const double norms = measures.norms[u][h] * measures.norms[v][h];
          double& cosine = measures.cosines[pair_position(u, v)][h];
          cosine = norms > 0 ? cosine / norms : 0;
        }
  }

  std::vector<TermReader> readers_;
  std::vector<std::vector<double>> values_;   // by vector, of the tile
  std::vector<std::vector<double>> squares_;  // by vector and head
  std::vector<std::vector<double>> dots_;     // by pair and head
};

}  // namespace

std::vector<HeadMeasures> measure_heads(const std::vector<AnalyzedVector>& vectors,
                                        const RunOptions& options) {
  const auto head_size = head_size_of(vectors);
  if (!head_size) return {};
  std::vector<Projection> projections = projections_of(vectors, *head_size);
  std::vector<std::uint64_t> bytes(projections.size());
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < projections.size(); ++i) {
    const auto elements = static_cast<std::uint64_t>(projections[i].rows * projections[i].columns);
    for (const auto& terms : projections[i].terms)
      bytes[i] += TermReader::bytes_behind(terms, 0, elements);
    total += bytes[i];
  }
  stream::ProgressMeter progress(options, "measuring heads", total);
  stream::run_jobs(projections.size(), options, [&] {
    return [&, reader = HeadReader(vectors.size())](std::size_t job) mutable {
      stream::check_cancelled(options);
      reader.measure(projections[job]);
      progress.add(bytes[job]);
    };
  });
  progress.finish();
  std::vector<HeadMeasures> heads;
  for (Projection& projection : projections) heads.push_back(std::move(projection.measures));
  return heads;
}

}  // namespace suture
