#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "suture/dtype.h"

namespace suture {

/// All that is known of a stored tensor before its data is read.
struct TensorInfo {
  std::string name;                 ///< Raw bytes from the file; use `printable` before showing.
  Dtype dtype = Dtype::kF32;        ///< Stored element type.
  std::vector<std::int64_t> shape;  ///< Empty for a scalar; every dimension >= 0.
  std::uint64_t elements = 0;       ///< Product of the shape (1 for a scalar).
  std::uint64_t bytes = 0;          ///< Size of the data when laid out densely in row-major order.
  std::uint32_t file = 0;           ///< Index into `Checkpoint::files()`.
  std::uint64_t offset = 0;         ///< Position in that file of element [0, ..., 0].
  std::vector<std::int64_t> strides;  ///< In elements; empty when stored dense and row-major.
};

/// The shape as people write it: `[151936, 896]`, `[]` for a scalar.
std::string to_string(const std::vector<std::int64_t>& shape);

}  // namespace suture
