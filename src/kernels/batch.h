#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "suture/dtype.h"

#include "kernels/cuda_backend.h"
#include "kernels/linear_form.h"
#include "kernels/statistics.h"

namespace suture::kernels {

// Whole tensors at once, on the CPU or on a CUDA device, behind one set of checks. All functions
// throw UsageError when an operand is null, of a dtype that is not computable or not aligned to its
// elements, and DeviceError when the CUDA kernels are not there or CUDA refuses.

/// target <- round(target + sum of terms) over one dense tensor, in place, by the rules of
/// `add_to_target`.
struct TensorUpdate {
  void* target = nullptr;
  Dtype dtype = Dtype::kF32;
  std::uint64_t count = 0;  ///< Elements, of every operand too.
  std::span<const TermTile> terms;
};

/// Runs the updates in CPU memory, in order.
void add_in_place(std::span<const TensorUpdate> updates);

/// Queues the updates on `stream` and returns; all addresses lie on its device. No target may
/// overlap another one or another's operands: they run beside each other. Where a result is NaN and
/// the target is not, its payload may differ from the CPU's; every other bit is the same.
void add_in_place(std::span<const TensorUpdate> updates, const CudaStream& stream,
                  const CudaBackend& backend = cuda_backend());

/// The sum of terms over one dense tensor, as `sum_of_terms`; none gives nothing to measure.
struct TensorSum {
  std::span<const TermTile> terms;
  std::uint64_t count = 0;
  bool in_double = false;  ///< Asks for float64; a float64 operand does so by itself.
};

/// Two such sums beside each other.
struct TensorPair {
  std::span<const TermTile> first, second;
  std::uint64_t count = 0;
  bool in_double = false;
};

/// Statistics per tensor, in order, when all is measured: the bytes that the CPU's tiles give when
/// they are appended in index order.
std::vector<ValueStatistics> measure_values(std::span<const TensorSum> tensors,
                                            const CudaStream& stream,
                                            const CudaBackend& backend = cuda_backend());
std::vector<PairStatistics> measure_pairs(std::span<const TensorPair> tensors,
                                          const CudaStream& stream,
                                          const CudaBackend& backend = cuda_backend());

}  // namespace suture::kernels
