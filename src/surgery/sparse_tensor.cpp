#include "surgery/sparse_tensor.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace suture {
namespace {

constexpr std::string_view kBitmapSuffix = ".suture_bitmap", kValuesSuffix = ".suture_values",
                           kOffsetsSuffix = ".suture_offsets";

TensorInfo part_of(const TensorInfo& dense, std::string_view suffix, Dtype dtype,
                   std::uint64_t elements) {
  TensorInfo part;
  part.name = dense.name + std::string(suffix);
  part.dtype = dtype;
  part.shape = {static_cast<std::int64_t>(elements)};
  part.elements = elements;
  part.bytes = elements * static_cast<std::uint64_t>(bytes_of(dtype));
  return part;
}

// Calls `work` with the unsigned integer of that many bytes.
template <typename Work>
auto with_bits(std::size_t width, Work work) {
  switch (width) {
    case 2:
      return work(std::uint16_t{});
    case 4:
      return work(std::uint32_t{});
    default:
      return work(std::uint64_t{});
  }
}

template <typename Bits>
Bits load(const void* data, std::size_t i) {
  Bits bits;
  std::memcpy(&bits, static_cast<const char*>(data) + i * sizeof(Bits), sizeof(Bits));
  return bits;
}

template <typename Bits>
void store(void* data, std::size_t i, Bits bits) {
  std::memcpy(static_cast<char*>(data) + i * sizeof(Bits), &bits, sizeof(Bits));
}

bool is_set(const std::uint8_t* bitmap, std::size_t bit) {
  return (bitmap[bit / 8] >> (bit % 8) & 1) != 0;
}

}  // namespace

SparseParts sparse_parts_of(const TensorInfo& dense, std::uint64_t values) {
  const std::uint64_t bitmap_bytes = dense.elements / 8 + (dense.elements % 8 != 0 ? 1 : 0);
  return {part_of(dense, kBitmapSuffix, Dtype::kU8, bitmap_bytes),
          part_of(dense, kValuesSuffix, dense.dtype, values),
          part_of(dense, kOffsetsSuffix, Dtype::kI64, blocks_of(dense.elements))};
}

std::optional<std::string_view> sparse_name_of_part(std::string_view name) {
  for (const std::string_view suffix : {kBitmapSuffix, kValuesSuffix, kOffsetsSuffix}) {
    if (name.ends_with(suffix)) return name.substr(0, name.size() - suffix.size());
  }
  return std::nullopt;
}

bool is_smaller_sparse(const TensorInfo& dense, std::uint64_t values) {
  const SparseParts parts = sparse_parts_of(dense, values);
  return parts.bitmap.bytes + parts.values.bytes + parts.offsets.bytes <
         dense.elements * static_cast<std::uint64_t>(bytes_of(dense.dtype));
}

std::uint64_t count_sparse_values(const void* dense, std::size_t width, std::size_t count) {
  return with_bits(width, [&](auto zero) {
    using Bits = decltype(zero);
    std::uint64_t found = 0;
    for (std::size_t i = 0; i < count; ++i) found += load<Bits>(dense, i) != 0;
    return found;
  });
}

std::uint64_t count_bits(const std::uint8_t* bitmap, std::size_t first, std::size_t count) {
  std::uint64_t found = 0;
  std::size_t bit = first;
  const std::size_t end = first + count;
  for (; bit < end && bit % 8 != 0; ++bit) found += is_set(bitmap, bit);
  for (; bit + 64 <= end; bit += 64)
    found += static_cast<std::uint64_t>(std::popcount(load<std::uint64_t>(bitmap + bit / 8, 0)));
  for (; bit < end; ++bit) found += is_set(bitmap, bit);
  return found;
}

void compress(const void* dense, std::size_t width, std::size_t count, std::uint8_t* bitmap,
              void* values) {
  with_bits(width, [&](auto zero) {
    using Bits = decltype(zero);
    std::size_t kept = 0;
    for (std::size_t first = 0; first < count; first += 8) {
      unsigned byte = 0;
      for (std::size_t i = first; i < std::min(first + 8, count); ++i) {
        const Bits bits = load<Bits>(dense, i);
        if (bits == 0) continue;
        byte |= 1u << (i - first);
        store(values, kept++, bits);
      }
      bitmap[first / 8] = static_cast<std::uint8_t>(byte);
    }
  });
}

void expand(const std::uint8_t* bitmap, std::size_t first, const void* values, std::size_t width,
            std::size_t count, void* dense) {
  with_bits(width, [&](auto zero) {
    using Bits = decltype(zero);
    std::size_t taken = 0;
    for (std::size_t i = 0; i < count; ++i)
      store(dense, i, is_set(bitmap, first + i) ? load<Bits>(values, taken++) : Bits{0});
  });
}

}  // namespace suture
