#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/decoder_config.h"

namespace suture::model {

/// Keys and values of the tokens that a decoder has been fed, a row per sequence. The slot of a
/// token is its position, so that rows may be of different lengths: what stands behind a row's end
/// is never looked at, and is written over when the row grows.
class KeyValueCache {
 public:
  /// Room for `capacity` positions of `rows` sequences.
  KeyValueCache(const DecoderConfig& config, std::int64_t rows, std::int64_t capacity,
                const at::TensorOptions& options);

  std::int64_t rows() const { return keys_.front().size(0); }
  std::int64_t capacity() const { return keys_.front().size(2); }

  /// Makes room for at least `capacity` positions.
  void reserve(std::int64_t capacity);

  /// A cache of its own memory whose row i is row `rows[i]` of this one, its first `length`
  /// positions, with room for `capacity`.
  KeyValueCache select(const std::vector<std::int64_t>& rows, std::int64_t length,
                       std::int64_t capacity) const;

  /// Of one layer: [rows, key_value_heads, capacity, head_size], shared memory.
  const at::Tensor& keys(std::size_t layer) const { return keys_[layer]; }
  const at::Tensor& values(std::size_t layer) const { return values_[layer]; }

 private:
  KeyValueCache() = default;
  std::vector<at::Tensor> keys_, values_;
};

}  // namespace suture::model
