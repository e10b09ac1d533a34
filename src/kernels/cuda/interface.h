#pragma once

// What libsuture_cuda.so and the library that loads it agree on: plain data and one function table.

#include <cstddef>
#include <cstdint>

#include "suture/dtype.h"

#include "kernels/statistics.h"

namespace suture::kernels::cuda {

/// `scale * (minuend - subtrahend)` over one tensor; device addresses, `subtrahend` null where
/// there is none.
struct Term {
  const void* minuend;
  const void* subtrahend;
  double scale;
  Dtype minuend_dtype;
  Dtype subtrahend_dtype;
};

/// A run of a call's term list.
struct TermRange {
  std::uint64_t first;
  std::uint64_t count;
};

/// One tensor to be changed in place: target <- round(target + sum of its terms).
struct Update {
  void* target;
  std::uint64_t count;  ///< Elements.
  TermRange terms;      ///< At least one.
  Dtype dtype;
  bool in_double;  ///< Computed in float64, which every float64 operand asks for.
  bool aligned;    ///< The target and every operand start at a multiple of 16 bytes.
};

/// One tensor to be measured: the sum of its terms, or two such sums beside each other.
struct Measurement {
  std::uint64_t count;  ///< Elements.
  TermRange first;      ///< At least one.
  TermRange second;     ///< At least one for pairs; not looked at otherwise.
  bool in_double;
};

/// What came of a call. The texts are static.
struct Status {
  const char* operation = nullptr;  ///< The call that failed; null when all went well.
  const char* message = nullptr;    ///< What CUDA said of it.
};

/// The backend's functions. `device` is CUDA's index of the device where all addresses lie,
/// `stream` a cudaStream_t of it on which the work is queued. Arguments have been checked.
struct Table {
  const char* version;     ///< The version of the library that this was built with.
  std::size_t table_size;  ///< sizeof(Table) then.

  /// Fails where the device is not there, its driver is too old, or it is of an unknown
  /// architecture.
  Status (*probe)(int device);

  /// Returns when the work is queued.
  Status (*add_in_place)(int device, void* stream, const Update* updates, std::size_t update_count,
                         const Term* terms, std::size_t term_count);

  /// Return when the results are there, one per measurement.
  Status (*measure_values)(int device, void* stream, const Measurement* measurements,
                           std::size_t measurement_count, const Term* terms, std::size_t term_count,
                           ValueStatistics* results);
  Status (*measure_pairs)(int device, void* stream, const Measurement* measurements,
                          std::size_t measurement_count, const Term* terms, std::size_t term_count,
                          PairStatistics* results);
};

/// Type and name of the one function that libsuture_cuda.so exports.
using TableFunction = const Table* (*)();
inline constexpr char kTableFunction[] = "suture_cuda_table";

}  // namespace suture::kernels::cuda
