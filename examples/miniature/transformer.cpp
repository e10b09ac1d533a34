#include "transformer.h"

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

namespace miniature {
namespace {

// Five times the usual deviation: at this width scores and gates would else start so near to zero
// that the base takes several times as many steps to learn.
constexpr double kInitialDeviation = 0.1;

std::string layer_prefix(std::int64_t layer) {
  return "model.layers." + std::to_string(layer) + ".";
}

}  // namespace

suture::StateDict random_weights(const Shape& shape, std::uint64_t seed) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  suture::StateDict weights;
  // As in GPT-2, what is added to the residual stream starts smaller the more layers add to it.
  const double residual_deviation =
      kInitialDeviation / std::sqrt(2 * static_cast<double>(shape.num_hidden_layers));
  const auto matrix = [&](const std::string& name, std::int64_t rows, std::int64_t columns,
                          double deviation = kInitialDeviation) {
    weights.set(name, at::randn({rows, columns}, generator, at::kFloat).mul_(deviation));
  };
  const auto constant = [&](const std::string& name, std::int64_t size, double value) {
    weights.set(name, at::full({size}, value, at::kFloat));
  };
  const std::int64_t hidden = shape.hidden_size;
  const std::int64_t kv_width = shape.num_key_value_heads * shape.head_size();

  matrix("model.embed_tokens.weight", shape.vocab_size, hidden);
  for (std::int64_t i = 0; i < shape.num_hidden_layers; ++i) {
    const std::string layer = layer_prefix(i);
    constant(layer + "input_layernorm.weight", hidden, 1);
    matrix(layer + "self_attn.q_proj.weight", hidden, hidden);
    constant(layer + "self_attn.q_proj.bias", hidden, 0);
    matrix(layer + "self_attn.k_proj.weight", kv_width, hidden);
    constant(layer + "self_attn.k_proj.bias", kv_width, 0);
    matrix(layer + "self_attn.v_proj.weight", kv_width, hidden);
    constant(layer + "self_attn.v_proj.bias", kv_width, 0);
    matrix(layer + "self_attn.o_proj.weight", hidden, hidden, residual_deviation);
    constant(layer + "post_attention_layernorm.weight", hidden, 1);
    matrix(layer + "mlp.gate_proj.weight", shape.intermediate_size, hidden);
    matrix(layer + "mlp.up_proj.weight", shape.intermediate_size, hidden);
    matrix(layer + "mlp.down_proj.weight", hidden, shape.intermediate_size, residual_deviation);
  }
  constant("model.norm.weight", hidden, 1);
  return weights;
}

Transformer::Transformer(const Shape& shape, const suture::StateDict& weights)
    : shape_(shape),
      embedding_(weights.at("model.embed_tokens.weight")),
      norm_(weights.at("model.norm.weight")) {
  for (std::int64_t i = 0; i < shape.num_hidden_layers; ++i) {
    const auto part = [&](const char* name) { return weights.at(layer_prefix(i) + name); };
    layers_.push_back({part("input_layernorm.weight"), part("self_attn.q_proj.weight"),
                       part("self_attn.q_proj.bias"), part("self_attn.k_proj.weight"),
                       part("self_attn.k_proj.bias"), part("self_attn.v_proj.weight"),
                       part("self_attn.v_proj.bias"), part("self_attn.o_proj.weight"),
                       part("post_attention_layernorm.weight"), part("mlp.gate_proj.weight"),
                       part("mlp.up_proj.weight"), part("mlp.down_proj.weight")});
  }
  const std::int64_t size = shape.head_size();
  const at::Tensor frequencies = at::pow(
      shape.rope_theta, at::arange(0, size, 2, at::kDouble).div(-static_cast<double>(size)));
  const at::Tensor angles =
      at::outer(at::arange(shape.max_position_embeddings, at::kDouble), frequencies).repeat({1, 2});
  cosines_ = angles.cos().to(at::kFloat);
  sines_ = angles.sin().to(at::kFloat);
  // Both halves of a head turn by the same angles; the first takes the second's negative.
  sines_.narrow(1, 0, size / 2).neg_();
}

std::vector<at::Tensor> Transformer::parameters() const {
  std::vector<at::Tensor> all{embedding_};
  for (const Layer& layer : layers_) {
    for (const at::Tensor& tensor : {layer.input_norm, layer.query, layer.query_bias, layer.key,
                                     layer.key_bias, layer.value, layer.value_bias, layer.output,
                                     layer.post_attention_norm, layer.gate, layer.up, layer.down}) {
      all.push_back(tensor);
    }
  }
  all.push_back(norm_);
  return all;
}

at::Tensor Transformer::normalised(const at::Tensor& hidden, const at::Tensor& weight) const {
  return at::rms_norm(hidden, {shape_.hidden_size}, weight, shape_.rms_norm_eps);
}

at::Tensor Transformer::heads_of(const at::Tensor& hidden, const at::Tensor& weight,
                                 const at::Tensor& bias, std::int64_t heads) const {
  return at::linear(hidden, weight, bias)
      .view({hidden.size(0), hidden.size(1), heads, shape_.head_size()})
      .transpose(1, 2);
}

at::Tensor Transformer::rotated(const at::Tensor& heads, std::int64_t first) const {
  const std::int64_t tokens = heads.size(2);
  const at::Tensor swapped = heads.roll(shape_.head_size() / 2, -1);
  return heads * cosines_.narrow(0, first, tokens) + swapped * sines_.narrow(0, first, tokens);
}

at::Tensor Transformer::attention(const Layer& layer, const at::Tensor& hidden, std::int64_t first,
                                  Cache::Layer* cache) const {
  const at::Tensor queries =
      rotated(heads_of(hidden, layer.query, layer.query_bias, shape_.num_attention_heads), first);
  at::Tensor keys =
      rotated(heads_of(hidden, layer.key, layer.key_bias, shape_.num_key_value_heads), first);
  at::Tensor values = heads_of(hidden, layer.value, layer.value_bias, shape_.num_key_value_heads);
  if (cache != nullptr) {
    if (first > 0) {
      keys = at::cat({cache->keys, keys}, 2);
      values = at::cat({cache->values, values}, 2);
    }
    *cache = {keys, values};
  }
  const std::int64_t group = shape_.num_attention_heads / shape_.num_key_value_heads;
  // Behind a cache a single token is read, which may look at everything.
  const bool causal = hidden.size(1) > 1;
  const at::Tensor mixed = at::scaled_dot_product_attention(
      queries, keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1), {}, 0, causal);
  return at::linear(mixed.transpose(1, 2).reshape(hidden.sizes()), layer.output);
}

at::Tensor Transformer::hidden_states(const at::Tensor& tokens, Cache* cache) const {
  if (cache != nullptr) cache->layers.resize(layers_.size());
  const std::int64_t first = cache != nullptr ? cache->length : 0;
  at::Tensor hidden = at::embedding(embedding_, tokens);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    hidden = hidden + attention(layer, normalised(hidden, layer.input_norm), first,
                                cache != nullptr ? &cache->layers[i] : nullptr);
    const at::Tensor inner = normalised(hidden, layer.post_attention_norm);
    const at::Tensor gated = at::silu(at::linear(inner, layer.gate)) * at::linear(inner, layer.up);
    hidden = hidden + at::linear(gated, layer.down);
  }
  if (cache != nullptr) cache->length += tokens.size(1);
  return normalised(hidden, norm_);
}

at::Tensor Transformer::logits(const at::Tensor& hidden) const {
  return at::linear(hidden, embedding_);
}

}  // namespace miniature
