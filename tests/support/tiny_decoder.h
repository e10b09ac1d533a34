#pragma once

#include <string>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "suture/language_model.h"

namespace suture::testing_support {

/// `config.json` of a Qwen2 model small enough for a test, with room for further settings.
inline std::string tiny_config(const std::string& more = {}) {
  return R"({"model_type": "qwen2", "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 128, "eos_token_id": [7, 9])" +
         more + "}";
}

/// Its weights, at random and the same at every call; the head is its own.
inline StateDict tiny_weights(at::ScalarType type = at::kFloat, std::int64_t vocab_size = 61) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(5);
  StateDict weights;
  const auto add = [&](const std::string& name, at::IntArrayRef shape, double scale = 0.2) {
    weights.set(name, (at::randn(shape, generator, at::kFloat) * scale +
                       (name.find("norm") != std::string::npos ? 1 : 0))
                          .to(type));
  };
  add("model.embed_tokens.weight", {vocab_size, 32}, 1);
  for (int i = 0; i < 3; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add(layer + "input_layernorm.weight", {32});
    add(layer + "post_attention_layernorm.weight", {32});
    for (const auto& [name, rows] : {std::pair<const char*, int>{"q", 32}, {"k", 16}, {"v", 16}}) {
      add(layer + "self_attn." + name + "_proj.weight", {rows, 32});
      add(layer + "self_attn." + name + "_proj.bias", {rows});
    }
    add(layer + "self_attn.o_proj.weight", {32, 32});
    add(layer + "mlp.gate_proj.weight", {48, 32});
    add(layer + "mlp.up_proj.weight", {48, 32});
    add(layer + "mlp.down_proj.weight", {32, 48});
  }
  add("model.norm.weight", {32});
  add("lm_head.weight", {vocab_size, 32});
  return weights;
}

inline LanguageModel tiny_model(at::ScalarType type = at::kFloat) {
  return LanguageModel(tiny_config(), tiny_weights(type));
}

/// `count` token ids that follow from `seed`.
inline TokenIds tiny_tokens(std::size_t count, std::uint64_t seed) {
  TokenIds tokens;
  for (std::uint64_t state = seed * 2654435761u + 12345; tokens.size() < count;) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    tokens.push_back(static_cast<std::int64_t>((state >> 33) % 61));
  }
  return tokens;
}

}  // namespace suture::testing_support
