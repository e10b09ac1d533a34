#pragma once

#include <cstddef>
#include <cstdint>

#include "suture/tensor_info.h"

#include "format/file.h"

namespace suture::stream {

/// Where the bytes of tensors go: files, or weights in memory. Safe to call from several threads on
/// disjoint ranges.
class TensorSink {
 public:
  virtual ~TensorSink() = default;

  /// Puts dense bytes of a tensor at its byte `begin` on.
  virtual void write(const TensorInfo& tensor, std::uint64_t begin, const void* data,
                     std::size_t bytes) = 0;

  /// Copies bytes of a file to the tensor from its byte `begin` on.
  virtual void copy(const TensorInfo& tensor, std::uint64_t begin, const format::File& source,
                    std::uint64_t source_offset, std::uint64_t bytes) = 0;
};

}  // namespace suture::stream
