#include "kernels/batch.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "suture/error.h"

namespace suture::kernels {
namespace {

std::uintptr_t address(const void* data) { return reinterpret_cast<std::uintptr_t>(data); }

[[noreturn]] void refuse(const char* operand, const std::string& found, const char* expected) {
  throw UsageError({{}, {}, std::string(operand) + ": " + found, expected, {}});
}

void require_operand(const char* operand, const void* data, Dtype dtype, std::uint64_t count) {
  if (!is_computable(dtype)) refuse(operand, std::string(name_of(dtype)), "bf16, f16, f32 or f64");
  const auto width = static_cast<std::uint64_t>(bytes_of(dtype));
  if (count > PTRDIFF_MAX / width) refuse(operand, std::to_string(count) + " elements", "fewer");
  if (count > 0 && data == nullptr) refuse(operand, "no memory", "an address");
  if (address(data) % width != 0) {
    refuse(operand, "an address inside an element", "one aligned to its elements");
  }
}

void require_terms(std::span<const TermTile> terms, std::uint64_t count) {
  for (const TermTile& term : terms) {
    require_operand("minuend", term.minuend.data, term.minuend.dtype, count);
    if (term.subtrahend.data != nullptr)
      require_operand("subtrahend", term.subtrahend.data, term.subtrahend.dtype, count);
  }
}

void require_updates(std::span<const TensorUpdate> updates) {
  for (const TensorUpdate& update : updates) {
    require_operand("target", update.target, update.dtype, update.count);
    require_terms(update.terms, update.count);
  }
}

void throw_if_failed(const cuda::Status& status, const CudaStream& stream) {
  if (status.operation == nullptr) return;
  throw DeviceError(
      {{},
       {},
       "cuda:" + std::to_string(stream.device) + ": " + status.operation + ": " + status.message,
       {},
       {}});
}

// The terms of all tensors one behind the other, as the backend takes them.
class TermList {
 public:
  cuda::TermRange add(std::span<const TermTile> terms) {
    const cuda::TermRange range{terms_.size(), terms.size()};
    for (const TermTile& term : terms) {
      terms_.push_back({term.minuend.data, term.subtrahend.data, term.scale, term.minuend.dtype,
                        term.subtrahend.dtype});
    }
    return range;
  }
  const std::vector<cuda::Term>& terms() const { return terms_; }

 private:
  std::vector<cuda::Term> terms_;
};

bool are_vector_aligned(const TensorUpdate& update) {
  constexpr std::uintptr_t kAlignment = 16;
  return address(update.target) % kAlignment == 0 &&
         std::all_of(update.terms.begin(), update.terms.end(), [](const TermTile& term) {
           return address(term.minuend.data) % kAlignment == 0 &&
                  address(term.subtrahend.data) % kAlignment == 0;
         });
}

// No dtype of a target: only the operands and the caller say.
bool sums_in_double(std::span<const TermTile> terms) {
  return computes_in_double(terms, Dtype::kF32);
}

}  // namespace

void add_in_place(std::span<const TensorUpdate> updates) {
  require_updates(updates);
  for (const TensorUpdate& update : updates) {
    add_to_target({update.target, update.dtype}, update.terms, update.dtype, update.target,
                  update.count);
  }
}

void add_in_place(std::span<const TensorUpdate> updates, const CudaStream& stream,
                  const CudaBackend& backend) {
  require_updates(updates);
  TermList terms;
  std::vector<cuda::Update> converted;
  for (const TensorUpdate& update : updates) {
    if (update.count == 0 || update.terms.empty()) continue;
    converted.push_back({update.target, update.count, terms.add(update.terms), update.dtype,
                         computes_in_double(update.terms, update.dtype),
                         are_vector_aligned(update)});
  }
  if (converted.empty()) return;
  throw_if_failed(
      backend.table->add_in_place(stream.device, stream.handle, converted.data(), converted.size(),
                                  terms.terms().data(), terms.terms().size()),
      stream);
}

std::vector<ValueStatistics> measure_values(std::span<const TensorSum> tensors,
                                            const CudaStream& stream, const CudaBackend& backend) {
  TermList terms;
  std::vector<cuda::Measurement> measurements;
  for (const TensorSum& tensor : tensors) {
    require_terms(tensor.terms, tensor.count);
    const std::uint64_t count = tensor.terms.empty() ? 0 : tensor.count;
    measurements.push_back(
        {count, terms.add(tensor.terms), {}, tensor.in_double || sums_in_double(tensor.terms)});
  }
  std::vector<ValueStatistics> results(tensors.size());
  if (tensors.empty()) return results;
  throw_if_failed(backend.table->measure_values(stream.device, stream.handle, measurements.data(),
                                                measurements.size(), terms.terms().data(),
                                                terms.terms().size(), results.data()),
                  stream);
  return results;
}

std::vector<PairStatistics> measure_pairs(std::span<const TensorPair> tensors,
                                          const CudaStream& stream, const CudaBackend& backend) {
  TermList terms;
  std::vector<cuda::Measurement> measurements;
  for (const TensorPair& tensor : tensors) {
    require_terms(tensor.first, tensor.count);
    require_terms(tensor.second, tensor.count);
    const bool empty = tensor.first.empty() || tensor.second.empty();
    const bool in_double =
        tensor.in_double || sums_in_double(tensor.first) || sums_in_double(tensor.second);
    measurements.push_back(
        {empty ? 0 : tensor.count, terms.add(tensor.first), terms.add(tensor.second), in_double});
  }
  std::vector<PairStatistics> results(tensors.size());
  if (tensors.empty()) return results;
  throw_if_failed(backend.table->measure_pairs(stream.device, stream.handle, measurements.data(),
                                               measurements.size(), terms.terms().data(),
                                               terms.terms().size(), results.data()),
                  stream);
  return results;
}

}  // namespace suture::kernels
