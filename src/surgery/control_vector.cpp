#include "suture/control_vector.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"

#include "core/tensor_source.h"
#include "format/digest.h"
#include "kernels/linear_form.h"
#include "kernels/random_normal.h"
#include "kernels/statistics.h"
#include "stream/tiles.h"
#include "stream/worker_pool.h"
#include "surgery/form.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

using kernels::kStatisticsTile;

// Tensors that are made when they are read. What they are made of is kept open.
class MadeSource : public TensorSource {
 public:
  MadeSource(std::string name, const TaskVector& made_of)
      : name_(std::move(name)), made_of_(made_of) {}

  const std::string& name() const override { return name_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* find(std::string_view name) const override {
    const auto at = positions_.find(name);
    return at == positions_.end() ? nullptr : &tensors_[at->second];
  }
  void verify_unchanged() const override {
    for (const SourcePtr& source : sources_of(made_of_.form())) source->verify_unchanged();
  }
  const Checkpoint* checkpoint() const override { return nullptr; }
  bool is_in_file(const TensorInfo&) const override { return false; }
  // Its rows are those of what it is made of.
  const Checkpoint* vocabulary() const override {
    for (const SourcePtr& source : sources_of(made_of_.form()))
      if (const Checkpoint* known = source->vocabulary()) return known;
    return nullptr;
  }

 protected:
  // `info.offset` becomes the position among the tensors.
  void add(const std::string& name, const std::vector<std::int64_t>& shape, Dtype dtype) {
    TensorInfo info;
    info.name = name;
    info.dtype = dtype;
    info.shape = shape;
    info.elements = 1;
    for (const std::int64_t size : shape) info.elements *= static_cast<std::uint64_t>(size);
    info.bytes = info.elements * static_cast<std::uint64_t>(bytes_of(dtype));
    info.offset = tensors_.size();
    positions_[name] = tensors_.size();
    tensors_.push_back(std::move(info));
  }

  const TaskVector& made_of() const { return made_of_; }

 private:
  std::string name_;
  TaskVector made_of_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::size_t, std::less<>> positions_;
};

// --- Random vectors ----------------------------------------------------------------------------

std::uint64_t key_of(std::uint64_t seed, const std::string& tensor) {
  return format::digest_of("normal/" + std::to_string(seed) + "/" + tensor).low;
}

// Sum of squares of the first `elements` numbers, in tiles that are added in index order.
double random_squares(std::uint64_t key, std::uint64_t elements, const RunOptions& options) {
  std::vector<double> sums((elements + kStatisticsTile - 1) / kStatisticsTile);
  stream::run_jobs(sums.size(), options, [&] {
    return [&, tile = std::vector<float>(kStatisticsTile)](std::size_t job) mutable {
      const std::uint64_t first = job * kStatisticsTile;
      const auto count =
          static_cast<std::size_t>(std::min<std::uint64_t>(kStatisticsTile, elements - first));
      kernels::random_normal(key, first, tile.data(), count);
      for (std::size_t i = 0; i < count; ++i)
        sums[job] += static_cast<double>(tile[i]) * static_cast<double>(tile[i]);
    };
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

class RandomSource final : public MadeSource {
 public:
  RandomSource(const TaskVector& vector, std::uint64_t seed, const RunOptions& options)
      : MadeSource("random(" + vector.formula() + ", seed " + std::to_string(seed) + ")", vector) {
    for (const LayerMeasure::Tensor& tensor : vector.norms(options).tensors) {
      const auto terms = active_terms(vector.form(), tensor.name);
      add(tensor.name, terms.front().minuend->shape, Dtype::kF32);
      keys_.push_back(key_of(seed, tensor.name));
      const double norm =
          std::sqrt(random_squares(keys_.back(), tensors().back().elements, options));
      factors_.push_back(norm > 0 ? tensor.value / norm : 0);
    }
  }

  void read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
            void* out) const override {
    auto* numbers = static_cast<float*>(out);
    const std::size_t count = bytes / sizeof(float);
    kernels::random_normal(keys_[tensor.offset], begin / sizeof(float), numbers, count);
    const double factor = factors_[tensor.offset];
    for (std::size_t i = 0; i < count; ++i)
      numbers[i] = static_cast<float>(factor * static_cast<double>(numbers[i]));
  }

 private:
  std::vector<std::uint64_t> keys_;
  std::vector<double> factors_;
};

// --- Layers in another order -------------------------------------------------------------------

// The name that a layer's tensor has in another layer.
std::string in_layer(const std::string& name, int from, std::size_t to) {
  const std::string number = "." + std::to_string(from) + ".";
  const std::size_t at = name.find(number);
  return at == std::string::npos
             ? name
             : name.substr(0, at + 1) + std::to_string(to) + name.substr(at + number.size() - 1);
}

class ReorderedSource final : public MadeSource {
 public:
  ReorderedSource(const TaskVector& vector, const std::vector<std::size_t>& order)
      : MadeSource("reordered(" + vector.formula() + ")", vector) {
    for (const std::string& name : vector.names()) {
      const std::string from = origin_of(name, order);
      const auto own = active_terms(vector.form(), name);
      terms_.push_back(active_terms(vector.form(), from));
      if (terms_.back().empty() ||
          terms_.back().front().minuend->shape != own.front().minuend->shape)
        throw UsageError({{},
                          name,
                          "has no counterpart of its shape at " + printable(from),
                          "layers of one shape, to change their order",
                          {}});
      add(name, own.front().minuend->shape, sum_dtype(terms_.back()));
    }
  }

  void read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
            void* out) const override {
    if (tensor.dtype == Dtype::kF64) return sum<double>(tensor, begin, bytes, out);
    sum<float>(tensor, begin, bytes, out);
  }

 private:
  static std::string origin_of(const std::string& name, const std::vector<std::size_t>& order) {
    const std::optional<int> layer = site_of(name).layer;
    if (!layer || static_cast<std::size_t>(*layer) >= order.size()) return name;
    return in_layer(name, *layer, order[static_cast<std::size_t>(*layer)]);
  }

  template <typename T>
  void sum(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes, void* out) const {
    TermReader reader;
    const std::size_t count = bytes / sizeof(T);
    for (std::size_t done = 0; done < count; done += kStatisticsTile) {
      const std::size_t part = std::min(kStatisticsTile, count - done);
      kernels::sum_of_terms(reader.read(terms_[tensor.offset], begin / sizeof(T) + done, part),
                            static_cast<T*>(out) + done, part);
    }
  }

  std::vector<std::vector<ActiveTerm>> terms_;
};

void require_permutation(const std::vector<std::size_t>& order) {
  std::vector<bool> seen(order.size());
  for (const std::size_t layer : order) {
    if (layer >= order.size() || seen[layer])
      throw UsageError({{}, {}, "an order of layers that is no permutation", "each once", {}});
    seen[layer] = true;
  }
}

}  // namespace

TaskVector norm_matched_random(const TaskVector& vector, std::uint64_t seed,
                               const RunOptions& options) {
  return TaskVector::of(
      single_term(std::make_shared<RandomSource>(vector, seed, options), nullptr));
}

TaskVector with_layer_order(const TaskVector& vector, const std::vector<std::size_t>& order) {
  require_permutation(order);
  return TaskVector::of(single_term(std::make_shared<ReorderedSource>(vector, order), nullptr));
}

// A cycle through all that move (Sattolo, 1986) leaves none in its place.
std::vector<std::size_t> draw_order(std::size_t count, const std::vector<std::size_t>& moves,
                                    std::uint64_t seed) {
  std::vector<std::size_t> order(count), cycle = moves;
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = cycle.size(); i-- > 1;) {
    const std::string place = "order/" + std::to_string(seed) + "/" + std::to_string(i);
    std::swap(cycle[i], cycle[format::digest_of(place).low % i]);
  }
  for (std::size_t i = 0; i < moves.size(); ++i) order[moves[i]] = cycle[i];
  return order;
}

}  // namespace suture
