#pragma once

#include <span>
#include <vector>

#include "kernels/linear_form.h"
#include "surgery/form.h"

namespace suture {

/// Reads the stored elements behind a list of terms, tile by tile, into buffers it reuses. One per
/// thread.
class TermReader {
 public:
  /// Buffers a reader needs per element of a tile, for `terms` with one or two operands each.
  static std::size_t bytes_per_element(const std::vector<ActiveTerm>& terms);

  /// Bytes that `read` takes from the sources.
  static std::uint64_t bytes_behind(std::span<const ActiveTerm> terms, std::uint64_t first,
                                    std::uint64_t count);

  /// Reads elements [first, first + count) of every operand. The result is valid until the next
  /// call.
  std::span<const kernels::TermTile> read(std::span<const ActiveTerm> terms, std::uint64_t first,
                                          std::size_t count);

 private:
  kernels::StoredTile load(const TensorSource& source, const TensorInfo& tensor, std::int64_t shift,
                           std::uint64_t first, std::size_t count, std::vector<char>& buffer);

  std::vector<std::vector<char>> buffers_;
  std::vector<kernels::TermTile> tiles_;
};

}  // namespace suture
