#include <algorithm>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "suture/error.h"
#include "suture/name_mapping.h"
#include "suture/task_vector.h"

#include "core/scalar_type.h"
#include "kernels/batch.h"
#include "stream/tiles.h"
#include "stream/worker_pool.h"
#include "surgery/apply_terms.h"
#include "surgery/form.h"
#include "surgery/materialize.h"
#include "surgery/measure_resident.h"
#include "surgery/resident_updates.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

// Runs `work(reader, tile)` over all tiles of one tensor.
void for_each_tile(std::uint64_t elements, const std::vector<ActiveTerm>& terms,
                   const RunOptions& options,
                   const std::function<void(TermReader&, const stream::Tile&)>& work) {
  const std::size_t bytes_per_element =
      std::max<std::size_t>(1, TermReader::bytes_per_element(terms));
  const auto tiles =
      stream::cut_into_tiles({elements}, stream::tile_elements_within(options, bytes_per_element));
  stream::run_jobs(tiles.size(), options, [&] {
    return [&, reader = TermReader()](std::size_t job) mutable { work(reader, tiles[job]); };
  });
}

template <typename T>
at::Tensor materialize_in(const std::vector<ActiveTerm>& terms, at::ScalarType type,
                          const RunOptions& options) {
  const TensorInfo& info = *terms.front().minuend;
  const at::Tensor tensor = at::empty(info.shape, type);
  T* data = tensor.mutable_data_ptr<T>();
  for_each_tile(info.elements, terms, options, [&](TermReader& reader, const stream::Tile& tile) {
    kernels::sum_of_terms(reader.read(terms, tile.first, tile.count), data + tile.first,
                          tile.count);
  });
  return tensor;
}

bool measure_on_device(const std::vector<MeasuredVector>& vectors,
                       std::vector<TensorMeasures>& tensors, const RunOptions& options) {
  return measure_resident(vectors, tensors, options);
}

// Said where a vector has a name that the weights lack.
std::string advice_on_names(const TaskVector& vector, const StateDict& weights) {
  const NameMapping mapping = mapping_between(vector, weights);
  if (mapping.empty()) return "mask it out, or check the model";
  return "the weights have other names (" + mapping.to_string() +
         "): apply vector.renamed(mapping_between(vector, weights))";
}

// Names of one memory in one shape; of memory that has one name alone, none.
std::unordered_map<const void*, std::vector<std::string>> tied_names(const StateDict& weights) {
  std::unordered_map<const void*, std::vector<std::string>> names;
  for (const auto& [name, weight] : weights) {
    if (weight.numel() == 0) continue;
    auto& known = names[weight.const_data_ptr()];
    if (known.empty() || weights.at(known.front()).sizes() == weight.sizes()) known.push_back(name);
  }
  std::erase_if(names, [](const auto& one) { return one.second.size() < 2; });
  return names;
}

void require_all_applicable(const TaskVector& vector, const StateDict& weights) {
  for (const std::string& name : vector.names()) {
    const at::Tensor* weight = weights.find(name);
    if (weight == nullptr) throw missing_weight(name, vector, weights);
    require_applicable(name, active_terms(vector.form(), name), *weight);
  }
}

}  // namespace

CompatibilityError missing_weight(const std::string& name, const TaskVector& vector,
                                  const StateDict& weights) {
  return CompatibilityError({{},
                             name,
                             "the vector has this tensor, the weights do not",
                             {},
                             advice_on_names(vector, weights)});
}

void apply_terms(const at::Tensor& weight, const std::vector<ActiveTerm>& terms,
                 const RunOptions& options) {
  const at::Tensor dense = weight.detach().cpu().contiguous();
  const Dtype dtype = dtype_of(dense.scalar_type());
  auto* data = static_cast<char*>(dense.mutable_data_ptr());
  const auto elements = static_cast<std::uint64_t>(dense.numel());
  for_each_tile(elements, terms, options, [&](TermReader& reader, const stream::Tile& tile) {
    char* at = data + tile.first * static_cast<std::uint64_t>(bytes_of(dtype));
    const kernels::TensorUpdate update{at, dtype, tile.count,
                                       reader.read(terms, tile.first, tile.count)};
    kernels::add_in_place({&update, 1});
  });
  if (!dense.is_same(weight) && dense.data_ptr() != weight.data_ptr()) {
    const at::NoGradGuard no_grad;
    weight.copy_(dense);
  }
}

void require_applicable(const std::string& name, const std::vector<ActiveTerm>& terms,
                        const at::Tensor& weight) {
  for (const ActiveTerm& term : terms) {
    if (weight.sizes().vec() == term.minuend->shape) continue;
    throw CompatibilityError({{},
                              name,
                              to_string(weight.sizes().vec()) + " in the weights",
                              to_string(term.minuend->shape),
                              {}});
  }
  if (!is_computable(dtype_of(weight.scalar_type()))) {
    throw CompatibilityError({{},
                              name,
                              std::string(name_of(dtype_of(weight.scalar_type()))) + " weights",
                              "bf16, f16, f32 or f64",
                              {}});
  }
}

at::Tensor materialize_terms(const std::vector<ActiveTerm>& terms, const RunOptions& options) {
  return sum_dtype(terms) == Dtype::kF64 ? materialize_in<double>(terms, at::kDouble, options)
                                         : materialize_in<float>(terms, at::kFloat, options);
}

TaskVector TaskVector::difference(const StateDict& tuned, const StateDict& base) {
  install_measure_resident(measure_on_device);
  return TaskVector(difference_of(make_source(tuned, "tuned"), make_source(base, "base")));
}

TaskVector TaskVector::from(const StateDict& deltas) {
  install_measure_resident(measure_on_device);
  return TaskVector(single_term(make_source(deltas, "deltas"), nullptr));
}

at::Tensor TaskVector::materialize(std::string_view name, at::Device device) const {
  require_device(device);
  const auto terms = active_terms(*form_, name);
  if (terms.empty()) throw UsageError({{}, std::string(name), "not in the vector", {}, {}});
  return materialize_terms(terms, {}).to(device);
}

StateDict TaskVector::materialize(at::Device device, const RunOptions& options) const {
  require_device(device);
  StateDict deltas;
  for (const std::string& name : names()) {
    stream::check_cancelled(options);
    deltas.set(name, materialize_terms(active_terms(*form_, name), options).to(device));
  }
  return deltas;
}

void TaskVector::apply_to(StateDict& weights, double scale, const RunOptions& options) const {
  const TaskVector scaled_vector = scale * *this;
  require_all_applicable(scaled_vector, weights);
  const auto tied = tied_names(weights);
  std::unordered_set<const void*> done;  // tied tensors are changed once
  ResidentUpdates resident(options);
  for (const std::string& name : scaled_vector.names()) {
    const at::Tensor& weight = weights.at(name);
    if (weight.numel() > 0 && !done.insert(weight.const_data_ptr()).second) continue;
    const auto names = tied.find(weight.const_data_ptr());
    const auto terms = names == tied.end() ? active_terms(scaled_vector.form(), name)
                                           : active_terms(scaled_vector.form(), names->second);
    if (resident.can_take(weight)) {
      resident.add(weight, terms);
    } else {
      apply_terms(weight, terms, options);
    }
  }
  resident.run();
}

}  // namespace suture
