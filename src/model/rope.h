#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "model/decoder_config.h"

namespace suture::model {

/// Cosines and sines of every position, scaled as the kind of rope wants it.
struct RotationTable {
  at::Tensor cosines, sines;  ///< [length, head_size]; both halves of a head turn alike.
};

/// Angles of the first `length` positions, computed in float32 in transformers' order of
/// operations, then rounded to `type`.
RotationTable make_rotation_table(const DecoderConfig& config, std::int64_t length,
                                  const at::TensorOptions& options);

/// Rotates each head: `heads` is [batch, length, heads, head_size]; `cosines` and `sines`
/// broadcast to [batch, length, 1, head_size].
at::Tensor rotate(const at::Tensor& heads, const at::Tensor& cosines, const at::Tensor& sines);

}  // namespace suture::model
