#include "model/key_value_cache.h"

#include <ATen/ATen.h>

namespace suture::model {
namespace {

at::Tensor with_capacity(const at::Tensor& slots, std::int64_t length, std::int64_t capacity) {
  // Zeros, since a masked NaN would still spoil the sum it is left out of.
  at::Tensor roomy =
      at::zeros({slots.size(0), slots.size(1), capacity, slots.size(3)}, slots.options());
  roomy.narrow(2, 0, length).copy_(slots.narrow(2, 0, length));
  return roomy;
}

}  // namespace

KeyValueCache::KeyValueCache(const DecoderConfig& config, std::int64_t rows, std::int64_t capacity,
                             const at::TensorOptions& options) {
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::vector<std::int64_t> shape{rows, config.key_value_heads, capacity, config.head_size};
    keys_.push_back(at::zeros(shape, options));
    values_.push_back(at::zeros(shape, options));
  }
}

void KeyValueCache::reserve(std::int64_t capacity) {
  const std::int64_t held = this->capacity();
  if (capacity <= held) return;
  for (at::Tensor& keys : keys_) keys = with_capacity(keys, held, capacity);
  for (at::Tensor& values : values_) values = with_capacity(values, held, capacity);
}

KeyValueCache KeyValueCache::select(const std::vector<std::int64_t>& rows, std::int64_t length,
                                    std::int64_t capacity) const {
  const at::Tensor index = at::tensor(rows, at::kLong).to(keys_.front().device());
  KeyValueCache selected;
  for (const at::Tensor& keys : keys_)
    selected.keys_.push_back(
        with_capacity(keys.narrow(2, 0, length).index_select(0, index), length, capacity));
  for (const at::Tensor& values : values_)
    selected.values_.push_back(
        with_capacity(values.narrow(2, 0, length).index_select(0, index), length, capacity));
  return selected;
}

}  // namespace suture::model
