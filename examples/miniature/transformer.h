#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/state_dict.h"

namespace miniature {

/// The sizes of a Qwen2 decoder, by their names in `config.json`.
struct Shape {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 128;
  std::int64_t intermediate_size = 256;
  std::int64_t num_hidden_layers = 4;
  std::int64_t num_attention_heads = 4;
  std::int64_t num_key_value_heads = 2;
  std::int64_t max_position_embeddings = 128;
  double rope_theta = 10000;
  double rms_norm_eps = 1e-6;

  std::int64_t head_size() const { return hidden_size / num_attention_heads; }
};

/// Random float32 weights by their names in a Hugging Face checkpoint.
suture::StateDict random_weights(const Shape& shape, std::uint64_t seed);

/// Keys and values [batch, heads, tokens, head size] of what a model has read so far, a layer each.
struct Cache {
  struct Layer {
    at::Tensor keys, values;
  };
  std::vector<Layer> layers;
  std::int64_t length = 0;
};

/// A Qwen2 decoder with a tied head, whose weights can be trained.
class Transformer {
 public:
  /// Shares the tensors of `weights`.
  Transformer(const Shape& shape, const suture::StateDict& weights);

  /// The last hidden states [batch, tokens, hidden] of token ids [batch, tokens]. All rows are read
  /// from the same position on, with no mask but the causal one: rows are padded at their right
  /// end. A cache adds what was read before, and keeps what is read now.
  at::Tensor hidden_states(const at::Tensor& tokens, Cache* cache = nullptr) const;

  /// Scores of all tokens for hidden states [..., hidden].
  at::Tensor logits(const at::Tensor& hidden) const;

  /// The weights, in an order that does not change.
  std::vector<at::Tensor> parameters() const;

 private:
  struct Layer {
    at::Tensor input_norm, query, query_bias, key, key_bias, value, value_bias, output;
    at::Tensor post_attention_norm, gate, up, down;
  };

  at::Tensor attention(const Layer& layer, const at::Tensor& hidden, std::int64_t first,
                       Cache::Layer* cache) const;
  at::Tensor heads_of(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias,
                      std::int64_t heads) const;
  at::Tensor rotated(const at::Tensor& heads, std::int64_t first) const;
  at::Tensor normalised(const at::Tensor& hidden, const at::Tensor& weight) const;

  Shape shape_;
  at::Tensor embedding_, norm_;
  std::vector<Layer> layers_;
  at::Tensor cosines_, sines_;  // [positions, head size]
};

}  // namespace miniature
