#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "suture/tensor_info.h"

namespace suture {

/// Elements per block of a sparse tensor: its table says how many values stand before each.
inline constexpr std::size_t kSparseBlock = 65536;

/// Blocks of a tensor, the last one counted whole.
inline std::uint64_t blocks_of(std::uint64_t elements) {
  return elements / kSparseBlock + (elements % kSparseBlock != 0 ? 1 : 0);
}

/// The three tensors that a sparse one is stored as: a bit for each element, the lowest first (U8);
/// the elements whose bit is set, in order, in the tensor's dtype; and for each block the number of
/// values before it (I64). A bit is clear where the element is +0: expanding gives the dense bytes
/// back, -0 too.
struct SparseParts {
  TensorInfo bitmap, values, offsets;
};

/// Names, dtypes, shapes and sizes of the parts of `dense` with that many values.
SparseParts sparse_parts_of(const TensorInfo& dense, std::uint64_t values);

/// What comes before the suffix in the name of a part; nothing for other names.
std::optional<std::string_view> sparse_name_of_part(std::string_view name);

/// True when the parts take fewer bytes than the dense tensor.
bool is_smaller_sparse(const TensorInfo& dense, std::uint64_t values);

/// Elements of `width` bytes (2, 4 or 8) whose bits are not all zero.
std::uint64_t count_sparse_values(const void* dense, std::size_t width, std::size_t count);

/// Bits set among `count` from bit `first` on.
std::uint64_t count_bits(const std::uint8_t* bitmap, std::size_t first, std::size_t count);

/// Makes the bitmap, from its first bit on with the last byte filled up with zeros, and the values
/// of `count` elements. `values` needs room for all that `count_sparse_values` counts.
void compress(const void* dense, std::size_t width, std::size_t count, std::uint8_t* bitmap,
              void* values);

/// Makes `count` elements from the bits at `first` and the values of those that are set.
void expand(const std::uint8_t* bitmap, std::size_t first, const void* values, std::size_t width,
            std::size_t count, void* dense);

}  // namespace suture
