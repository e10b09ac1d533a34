#include <set>

#include <ATen/ATen.h>

#include "suture/error.h"

#include "model/decoder.h"

namespace suture::model {
namespace {

class Binder {
 public:
  Binder(const DecoderConfig& config, const StateDict& weights, const std::string& model)
      : config_(config), weights_(weights), model_(model) {}

  DecoderWeights bind() {
    DecoderWeights bound;
    const std::int64_t vocab = config_.vocab_size, hidden = config_.hidden_size;
    bound.embedding = take("model.embed_tokens.weight", {vocab, hidden});
    bound.norm = take("model.norm.weight", {hidden});
    for (std::int64_t i = 0; i < config_.layers; ++i)
      bound.layers.push_back(bind_layer("model.layers." + std::to_string(i) + "."));
    bound.head = {bind_head(bound.embedding), {}};
    refuse_unused();
    return bound;
  }

 private:
  [[noreturn]] void fail(const std::string& tensor, const std::string& found,
                         const std::string& expected, const std::string& remedy = {}) const {
    throw FormatError({model_, tensor, found, expected, remedy});
  }

  at::Tensor take(const std::string& name, const std::vector<std::int64_t>& shape) {
    const at::Tensor* tensor = weights_.find(name);
    if (tensor == nullptr)
      fail(name, "missing", "it, for " + config_.architecture,
           "check config.json against the weights");
    if (!at::isFloatingType(tensor->scalar_type()) || tensor->element_size() < 2)
      fail(name, std::string("of dtype ") + c10::toString(tensor->scalar_type()),
           "bf16, f16, f32 or f64");
    if (tensor->sizes() != at::IntArrayRef(shape)) {
      fail(name, "of shape " + shown(tensor->sizes()), "shape " + shown(shape),
           "check config.json against the weights");
    }
    used_.insert(name);
    return *tensor;
  }

  static std::string shown(at::IntArrayRef shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i)
      text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return text + "]";
  }

  LinearWeights take_linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
    return {take(name + ".weight", {out, in}), bias ? take(name + ".bias", {out}) : at::Tensor()};
  }

  DecoderLayer bind_layer(const std::string& prefix) {
    const std::int64_t hidden = config_.hidden_size, inner = config_.intermediate_size;
    const std::int64_t queries = config_.heads * config_.head_size;
    const std::int64_t keys = config_.key_value_heads * config_.head_size;
    const bool bias = config_.query_key_value_bias, mlp_bias = config_.mlp_bias;
    const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
    DecoderLayer layer;
    layer.input_norm = take(prefix + "input_layernorm.weight", {hidden});
    layer.attention_norm = take(prefix + "post_attention_layernorm.weight", {hidden});
    if (config_.query_key_norm) {
      layer.query_norm = take(attention + "q_norm.weight", {config_.head_size});
      layer.key_norm = take(attention + "k_norm.weight", {config_.head_size});
    }
    layer.query = take_linear(attention + "q_proj", queries, hidden, bias);
    layer.key = take_linear(attention + "k_proj", keys, hidden, bias);
    layer.value = take_linear(attention + "v_proj", keys, hidden, bias);
    layer.output = take_linear(attention + "o_proj", hidden, queries, config_.output_bias);
    layer.gate = take_linear(mlp + "gate_proj", inner, hidden, mlp_bias);
    layer.up = take_linear(mlp + "up_proj", inner, hidden, mlp_bias);
    layer.down = take_linear(mlp + "down_proj", hidden, inner, mlp_bias);
    return layer;
  }

  // Some files hold a tied head a second time. It must be the embedding, or one of them is wrong.
  at::Tensor bind_head(const at::Tensor& embedding) {
    const std::string name = "lm_head.weight";
    if (config_.tied_head && !weights_.contains(name)) return embedding;
    const at::Tensor head = take(name, {config_.vocab_size, config_.hidden_size});
    if (!config_.tied_head) return head;
    if (!head.is_alias_of(embedding) && !at::equal(head, embedding))
      fail(name, "a head that differs from the embedding it is tied to",
           "equal tensors, or tie_word_embeddings false");
    return embedding;
  }

  // Old checkpoints carry the angles of rope, which follow from the config.
  static bool is_derived(const std::string& name) {
    const std::string ending = "rotary_emb.inv_freq";
    return name.size() > ending.size() &&
           name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
  }

  void refuse_unused() const {
    for (const auto& [name, tensor] : weights_) {
      if (used_.count(name) == 0 && !is_derived(name)) {
        fail(name, "a tensor that " + config_.architecture + " has no use for",
             "no others than config.json implies", "check config.json against the weights");
      }
    }
  }

  const DecoderConfig& config_;
  const StateDict& weights_;
  const std::string& model_;
  std::set<std::string> used_;
};

}  // namespace

DecoderWeights bind_weights(const DecoderConfig& config, const StateDict& weights,
                            const std::string& model) {
  return Binder(config, weights, model).bind();
}

}  // namespace suture::model
