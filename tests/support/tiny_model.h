#pragma once

#include <cmath>
#include <filesystem>
#include <map>
#include <string>

#include <ATen/ATen.h>

#include "suture/state_dict.h"

#include "support/temp_dir.h"

namespace suture::test {

/// The shape of a small Qwen2 model, and what varies between its relatives.
struct TinyModel {
  std::int64_t hidden = 16, layers = 3, heads = 4, kv_heads = 2, intermediate = 24, vocab = 40;
  bool tied = true;
  at::ScalarType dtype = at::kBFloat16;
  std::map<std::string, std::string>
      config;  ///< Extra or replaced config.json fields, as JSON text.
};

/// Random weights of that shape, the same for the same seed.
inline StateDict make_weights(const TinyModel& model, std::uint64_t seed, double scale = 0.05) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  StateDict weights;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    const at::Tensor values = at::randn(shape, generator, at::kFloat) * scale;
    const bool norm = name.find("norm") != std::string::npos;
    weights.set(name, (norm ? values + 1 : values).to(model.dtype));
  };
  const std::int64_t kv = model.hidden / model.heads * model.kv_heads;
  add("model.embed_tokens.weight", {model.vocab, model.hidden});
  for (std::int64_t i = 0; i < model.layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add(layer + "input_layernorm.weight", {model.hidden});
    add(layer + "self_attn.q_proj.weight", {model.hidden, model.hidden});
    add(layer + "self_attn.q_proj.bias", {model.hidden});
    add(layer + "self_attn.k_proj.weight", {kv, model.hidden});
    add(layer + "self_attn.v_proj.weight", {kv, model.hidden});
    add(layer + "self_attn.o_proj.weight", {model.hidden, model.hidden});
    add(layer + "post_attention_layernorm.weight", {model.hidden});
    add(layer + "mlp.gate_proj.weight", {model.intermediate, model.hidden});
    add(layer + "mlp.up_proj.weight", {model.intermediate, model.hidden});
    add(layer + "mlp.down_proj.weight", {model.hidden, model.intermediate});
  }
  add("model.norm.weight", {model.hidden});
  if (!model.tied) add("lm_head.weight", {model.vocab, model.hidden});
  return weights;
}

/// Weights near `base`: a fine-tuning of it.
inline StateDict make_relative(const StateDict& base, std::uint64_t seed, double step = 1e-3) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  StateDict tuned;
  for (const auto& [name, tensor] : base) {
    const at::Tensor noise = at::randn(tensor.sizes(), generator, at::kFloat) * step;
    tuned.set(name, tensor.is_floating_point()
                        ? (tensor.to(at::kFloat) + noise).to(tensor.scalar_type())
                        : tensor);
  }
  return tuned;
}

/// The text of a byte-level tokenizer.json of `tokens` tokens named t0, t1, ...
inline std::string tokenizer_json(std::int64_t tokens) {
  std::string vocab;
  for (std::int64_t i = 0; i < tokens; ++i)
    vocab += (i > 0 ? ",\"t" : "\"t") + std::to_string(i) + "\":" + std::to_string(i);
  return "{\"model\":{\"type\":\"BPE\",\"vocab\":{" + vocab +
         "},\"merges\":[]},\"added_tokens\":[]}";
}

/// The text of a config.json for the model.
inline std::string config_json(const TinyModel& model) {
  std::map<std::string, std::string> fields{
      {"architectures", "[\"Qwen2ForCausalLM\"]"},
      {"model_type", "\"qwen2\""},
      {"hidden_size", std::to_string(model.hidden)},
      {"num_hidden_layers", std::to_string(model.layers)},
      {"num_attention_heads", std::to_string(model.heads)},
      {"num_key_value_heads", std::to_string(model.kv_heads)},
      {"intermediate_size", std::to_string(model.intermediate)},
      {"vocab_size", std::to_string(model.vocab)},
      {"tie_word_embeddings", model.tied ? "true" : "false"},
      {"rms_norm_eps", "1e-06"},
      {"rope_theta", "1000000.0"},
      {"torch_dtype", "\"bfloat16\""}};
  for (const auto& [key, value] : model.config) fields[key] = value;
  std::string text = "{\n";
  for (const auto& [key, value] : fields)
    text += "  \"" + key + "\": " + value + (key == fields.rbegin()->first ? "\n" : ",\n");
  return text + "}\n";
}

/// Writes the weights as a Hugging Face folder with config, tokenizer and chat template.
inline std::filesystem::path write_model(const std::filesystem::path& folder,
                                         const TinyModel& model, const StateDict& weights,
                                         std::uint64_t max_shard_bytes = 5'000'000'000) {
  SaveOptions options;
  options.max_shard_bytes = max_shard_bytes;
  save(weights, folder.string(), options);
  write_file(folder / "config.json", config_json(model));
  write_file(folder / "generation_config.json", "{\"eos_token_id\": 0}\n");
  write_file(folder / "tokenizer.json", tokenizer_json(model.vocab));
  write_file(folder / "chat_template.jinja", "{{ messages }}\n");
  return folder;
}

}  // namespace suture::test
