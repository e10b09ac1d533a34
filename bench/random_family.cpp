// Writes a family of Qwen2-shaped models for timing as Hugging Face folders: base, sft, grpo and
// instruct. The weights are random, so the models say nothing sensible; but they are related as
// real ones are: sft is base plus an update of all layers, grpo is sft plus a small one that is
// larger in the middle layers, instruct is base plus an update of its own.
//
// usage: random_family FOLDER 0.5b|1.5b|7b
//
// Four models are held in memory. Those of 7b, for measuring memory, are files with holes that read
// as zeros.

#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "suture/site.h"
#include "suture/state_dict.h"

namespace {

namespace fs = std::filesystem;
using suture::StateDict;

constexpr std::int64_t kByteTokens = 257;  // one token per byte, and the end of text

struct Shape {
  std::int64_t hidden, layers, heads, kv_heads, intermediate, vocabulary;
  bool tied = true;
  bool is_hollow = false;  // too large to be made up
};
const std::map<std::string, Shape> kShapes{{"0.5b", {896, 24, 14, 2, 4864, 151936}},
                                           {"1.5b", {1536, 28, 12, 2, 8960, 151936}},
                                           {"7b", {3584, 28, 28, 4, 18944, 152064, false, true}}};

struct TensorShape {
  std::string name;
  std::vector<std::int64_t> sizes;
};

std::vector<TensorShape> tensors_of(const Shape& shape) {
  const std::int64_t hidden = shape.hidden, kv_width = hidden / shape.heads * shape.kv_heads;
  std::vector<TensorShape> tensors{{"model.embed_tokens.weight", {shape.vocabulary, hidden}}};
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    tensors.push_back({layer + "input_layernorm.weight", {hidden}});
    tensors.push_back({layer + "self_attn.q_proj.weight", {hidden, hidden}});
    tensors.push_back({layer + "self_attn.q_proj.bias", {hidden}});
    tensors.push_back({layer + "self_attn.k_proj.weight", {kv_width, hidden}});
    tensors.push_back({layer + "self_attn.k_proj.bias", {kv_width}});
    tensors.push_back({layer + "self_attn.v_proj.weight", {kv_width, hidden}});
    tensors.push_back({layer + "self_attn.v_proj.bias", {kv_width}});
    tensors.push_back({layer + "self_attn.o_proj.weight", {hidden, hidden}});
    tensors.push_back({layer + "post_attention_layernorm.weight", {hidden}});
    tensors.push_back({layer + "mlp.gate_proj.weight", {shape.intermediate, hidden}});
    tensors.push_back({layer + "mlp.up_proj.weight", {shape.intermediate, hidden}});
    tensors.push_back({layer + "mlp.down_proj.weight", {hidden, shape.intermediate}});
  }
  tensors.push_back({"model.norm.weight", {hidden}});
  if (!shape.tied) tensors.push_back({"lm_head.weight", {shape.vocabulary, hidden}});
  return tensors;
}

// Reinforcement learning moves little, and here most in the middle of the depth.
double reinforcement_size(const std::string& name, const Shape& shape) {
  const auto layer = suture::site_of(name).layer;
  if (!layer) return 2e-6;
  const double middle =
      (static_cast<double>(*layer) + 0.5) / static_cast<double>(shape.layers) - 0.5;
  return 2e-5 + 1.2e-4 * std::exp(-20 * middle * middle);
}

struct Family {
  StateDict base, sft, grpo, instruct;
};

Family make_family(const Shape& shape) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(1);
  const auto noise = [&](const TensorShape& tensor, double size) {
    return at::randn(tensor.sizes, generator, at::kFloat).mul_(size);
  };
  Family family;
  for (const TensorShape& tensor : tensors_of(shape)) {
    const bool is_norm = tensor.name.find("norm") != std::string::npos;
    const at::Tensor base = is_norm ? at::ones(tensor.sizes, at::kFloat) : noise(tensor, 0.02);
    const at::Tensor sft = base + noise(tensor, 4e-4);
    family.base.set(tensor.name, base.to(at::kBFloat16));
    family.sft.set(tensor.name, sft.to(at::kBFloat16));
    family.grpo.set(
        tensor.name,
        (sft + noise(tensor, reinforcement_size(tensor.name, shape))).to(at::kBFloat16));
    family.instruct.set(tensor.name, (base + noise(tensor, 6e-4)).to(at::kBFloat16));
  }
  return family;
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// GPT-2's byte alphabet: printable bytes stand for themselves, the others for code points from 256
// on.
std::string token_of_byte(int byte, int& next_code) {
  const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  const int code = printable ? byte : next_code++;
  if (byte == '"' || byte == '\\') return std::string("\\") + static_cast<char>(byte);
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

std::string tokenizer_text() {
  std::string vocabulary;
  int next_code = 256;
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary += "\"" + token_of_byte(byte, next_code) + "\": " + std::to_string(byte) + ", ";
  }
  return R"({
  "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
  "added_tokens": [{"id": 256, "content": "<|endoftext|>", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}],
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
  "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {)" +
         vocabulary + R"("<|endoftext|>": 256}, "merges": []}
}
)";
}

std::string config_text(const Shape& shape) {
  const auto field = [](const char* name, std::int64_t value) {
    return "  \"" + std::string(name) + "\": " + std::to_string(value) + ",\n";
  };
  return R"({
  "architectures": ["Qwen2ForCausalLM"],
  "model_type": "qwen2",
  "hidden_act": "silu",
  "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0,
  "torch_dtype": "bfloat16",
  "tie_word_embeddings": )" +
         std::string(shape.tied ? "true" : "false") + ",\n" + field("hidden_size", shape.hidden) +
         field("intermediate_size", shape.intermediate) + field("num_hidden_layers", shape.layers) +
         field("num_attention_heads", shape.heads) + field("num_key_value_heads", shape.kv_heads) +
         field("vocab_size", shape.vocabulary) + field("max_position_embeddings", 2048) +
         field("bos_token_id", 256) + "  \"eos_token_id\": 256\n}\n";
}

void write_side_files(const fs::path& folder, const Shape& shape) {
  write_text(folder / "config.json", config_text(shape));
  write_text(folder / "generation_config.json", "{\n  \"eos_token_id\": 256\n}\n");
  write_text(folder / "tokenizer.json", tokenizer_text());
  write_text(folder / "tokenizer_config.json",
             "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"eos_token\": "
             "\"<|endoftext|>\"\n}\n");
}

void write_model(const fs::path& folder, const Shape& shape, const StateDict& weights) {
  suture::SaveOptions options;
  options.replace_existing = true;
  suture::save(weights, folder.string(), options);
  write_side_files(folder, shape);
}

// A header, and behind it a hole as large as the tensors in bf16.
void write_hollow_model(const fs::path& folder, const Shape& shape) {
  std::string header = R"({"__metadata__":{"format":"pt"})";
  std::uint64_t end = 0;
  for (const TensorShape& tensor : tensors_of(shape)) {
    std::uint64_t bytes = 2;
    std::string sizes;
    for (const std::int64_t size : tensor.sizes) {
      bytes *= static_cast<std::uint64_t>(size);
      sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
    }
    header += ",\"" + tensor.name + R"(":{"dtype":"BF16","shape":[)" + sizes +
              R"(],"data_offsets":[)" + std::to_string(end) + "," + std::to_string(end + bytes) +
              "]}";
    end += bytes;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string length;
  for (int i = 0; i < 8; ++i) length += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  fs::create_directories(folder);
  write_text(folder / "model.safetensors", length + header);
  fs::resize_file(folder / "model.safetensors", 8 + header.size() + end);
  write_side_files(folder, shape);
}

void write_family(const fs::path& folder, const Shape& shape) {
  if (shape.is_hollow) {
    for (const char* role : {"base", "sft", "grpo", "instruct"})
      write_hollow_model(folder / role, shape);
    return;
  }
  const Family family = make_family(shape);
  write_model(folder / "base", shape, family.base);
  write_model(folder / "sft", shape, family.sft);
  write_model(folder / "grpo", shape, family.grpo);
  write_model(folder / "instruct", shape, family.instruct);
}

}  // namespace

int main(int argc, char** argv) try {
  const auto shape = kShapes.find(argc == 3 ? argv[2] : "");
  if (shape == kShapes.end()) {
    std::fprintf(stderr, "usage: random_family FOLDER 0.5b|1.5b|7b\n");
    return 2;
  }
  const fs::path folder = argv[1];
  fs::create_directories(folder);
  write_family(folder, shape->second);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "random_family: %s\n", error.what());
  return 2;
}
