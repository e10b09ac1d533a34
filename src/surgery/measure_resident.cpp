#include "surgery/measure_resident.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <c10/core/DeviceGuard.h>

#include "kernels/batch.h"
#include "stream/worker_pool.h"
#include "surgery/resident.h"

namespace suture {
namespace {

// The terms of one vector on one tensor, and a place for what is found.
struct ResidentSum {
  std::size_t tensor = 0, vector = 0;
  std::vector<kernels::TermTile> terms;
  bool in_double = false;
};

std::optional<c10::Device> device_of(const ActiveTerm& term, c10::DeviceType memory) {
  const at::Tensor* tensor = term.minuend_source->in_memory(*term.minuend);
  if (tensor == nullptr || tensor->device().type() != memory) return std::nullopt;
  return tensor->device();
}

// Everything of a pass as the kernels take it; nothing when an operand lies elsewhere.
class ResidentPass {
 public:
  ResidentPass(const std::vector<MeasuredVector>& vectors, std::vector<TensorMeasures>& tensors,
               const ResidentMachine& machine)
      : vectors_(vectors), tensors_(tensors), machine_(machine) {}

  bool collect();
  void run();
  c10::Device device() const { return *device_; }

 private:
  bool collect_tensor(std::size_t tensor);
  bool add_sum(std::size_t tensor, std::size_t vector, const std::vector<ActiveTerm>& terms);
  bool add_base(std::size_t tensor, std::size_t vector);
  std::vector<kernels::TensorSum> as_tensor_sums(const std::vector<ResidentSum>& sums) const;
  std::vector<kernels::TensorPair> pairs() const;

  const std::vector<MeasuredVector>& vectors_;
  std::vector<TensorMeasures>& tensors_;
  const ResidentMachine& machine_;
  std::optional<c10::Device> device_;
  std::vector<ResidentSum> sums_, bases_;
  std::vector<std::pair<std::size_t, std::size_t>> pair_sums_;  // positions in sums_
};

bool ResidentPass::collect() {
  for (std::size_t tensor = 0; tensor < tensors_.size(); ++tensor) {
    if (!collect_tensor(tensor)) return false;
  }
  return device_.has_value();
}

bool ResidentPass::collect_tensor(std::size_t tensor) {
  const std::size_t begin = sums_.size();
  for (std::size_t v = 0; v < vectors_.size(); ++v) {
    const auto terms = active_terms(vectors_[v].vector.form(), tensors_[tensor].name);
    if (!add_sum(tensor, v, terms) || !add_base(tensor, v)) return false;
  }
  // Vectors that are compared are computed in one precision.
  const bool in_double =
      std::any_of(sums_.begin() + static_cast<std::ptrdiff_t>(begin), sums_.end(),
                  [](const ResidentSum& sum) { return sum.in_double; });
  for (std::size_t v = begin; v < sums_.size(); ++v) {
    sums_[v].in_double = in_double;
    for (std::size_t u = begin; u < v; ++u) pair_sums_.emplace_back(u, v);
  }
  return true;
}

bool ResidentPass::add_sum(std::size_t tensor, std::size_t vector,
                           const std::vector<ActiveTerm>& terms) {
  if (terms.empty()) return true;
  if (!device_) device_ = device_of(terms.front(), machine_.memory);
  if (!device_ || !are_resident(terms, *device_)) return false;
  sums_.push_back(
      {tensor, vector, resident_terms(terms, *device_), sum_dtype(terms) == Dtype::kF64});
  return true;
}

bool ResidentPass::add_base(std::size_t tensor, std::size_t vector) {
  const TensorInfo* base = usable_base(vectors_[vector], tensors_[tensor]);
  if (base == nullptr) return true;
  ActiveTerm term;
  term.scale = 1;
  term.minuend_source = vectors_[vector].base.get();
  term.minuend = base;
  if (!device_) device_ = device_of(term, machine_.memory);
  if (!device_ || !are_resident({term}, *device_)) return false;
  bases_.push_back({tensor, vector, resident_terms({term}, *device_), base->dtype == Dtype::kF64});
  return true;
}

std::vector<kernels::TensorSum> ResidentPass::as_tensor_sums(
    const std::vector<ResidentSum>& sums) const {
  std::vector<kernels::TensorSum> result;
  for (const ResidentSum& sum : sums)
    result.push_back({sum.terms, tensors_[sum.tensor].elements, sum.in_double});
  return result;
}

std::vector<kernels::TensorPair> ResidentPass::pairs() const {
  std::vector<kernels::TensorPair> result;
  for (const auto& [first, second] : pair_sums_) {
    result.push_back({sums_[first].terms, sums_[second].terms,
                      tensors_[sums_[first].tensor].elements, sums_[first].in_double});
  }
  return result;
}

void ResidentPass::run() {
  const kernels::CudaStream stream = kernel_stream(current_stream(*device_));
  const auto values = kernels::measure_values(as_tensor_sums(sums_), stream, machine_.backend());
  for (std::size_t i = 0; i < sums_.size(); ++i)
    tensors_[sums_[i].tensor].values[sums_[i].vector] = values[i];
  const auto bases = kernels::measure_values(as_tensor_sums(bases_), stream, machine_.backend());
  for (std::size_t i = 0; i < bases_.size(); ++i)
    tensors_[bases_[i].tensor].base_squares[bases_[i].vector] = bases[i].sum_of_squares;
  const auto found = kernels::measure_pairs(pairs(), stream, machine_.backend());
  for (std::size_t i = 0; i < pair_sums_.size(); ++i) {
    const ResidentSum& first = sums_[pair_sums_[i].first];
    const ResidentSum& second = sums_[pair_sums_[i].second];
    tensors_[first.tensor].pairs[pair_position(first.vector, second.vector)] = found[i];
  }
}

}  // namespace

bool measure_resident(const std::vector<MeasuredVector>& vectors,
                      std::vector<TensorMeasures>& tensors, const RunOptions& options,
                      const ResidentMachine& machine) {
  ResidentPass pass(vectors, tensors, machine);
  if (!pass.collect() || !machine.missing(pass.device()).empty()) return false;
  const c10::DeviceGuard guard(pass.device());
  stream::check_cancelled(options);
  pass.run();
  return true;
}

}  // namespace suture
