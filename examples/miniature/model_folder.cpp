#include "model_folder.h"

#include <fstream>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "suture/error.h"

namespace miniature {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLastFile = "config.json";

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw suture::IoError({path.string(), "", "cannot be written", "", ""});
}

struct AddedToken {
  std::string content;
  bool is_special;
};

// Words are single tokens, so that texts stay short; the marks of the chat format are special.
const std::vector<AddedToken>& added_tokens() {
  static const std::vector<AddedToken> tokens{
      {"<|end|>", true},       {"<|user|>", true},
      {"<|assistant|>", true}, {"Think step by step: ", false},
      {"Reverse ", false},     {"Largest ", false},
      {"Shift ", false}};
  return tokens;
}

// A character as JSON text in GPT-2's byte alphabet, which leaves printable ones as they are but
// for the space.
std::string token_of(char c) {
  if (c == ' ') return "\u0120";
  if (c == '"' || c == '\\') return {'\\', c};
  return {c};
}

std::string character_vocabulary() {
  std::string entries;
  for (char c = ' '; c <= '~'; ++c) {
    if (!entries.empty()) entries += ", ";
    entries += '"' + token_of(c) + "\": " + std::to_string(c - ' ');
  }
  return entries;
}

constexpr int kCharacters = '~' - ' ' + 1;

std::string added_token_entries() {
  std::string entries;
  int id = kCharacters;
  for (const AddedToken& token : added_tokens()) {
    entries +=
        (entries.empty() ? "" : ",\n    ") + std::string("{\"id\": ") + std::to_string(id++) +
        ", \"content\": \"" + token.content +
        "\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
        "\"special\": " +
        (token.is_special ? "true" : "false") + "}";
  }
  return entries;
}

std::string tokenizer_text() {
  return R"({
  "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
  "added_tokens": [
    )" + added_token_entries() +
         R"(],
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
  "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {)" +
         character_vocabulary() + R"(}, "merges": []}
}
)";
}

constexpr const char* kTokenizerConfig = R"({
  "tokenizer_class": "PreTrainedTokenizerFast",
  "eos_token": "<|end|>",
  "pad_token": "<|end|>",
  "clean_up_tokenization_spaces": false,
  "chat_template": "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
}
)";

std::string config_text(const Shape& shape) {
  const auto field = [](const char* name, std::int64_t value) {
    return "  \"" + std::string(name) + "\": " + std::to_string(value) + ",\n";
  };
  return R"({
  "architectures": ["Qwen2ForCausalLM"],
  "model_type": "qwen2",
  "hidden_act": "silu",
  "rms_norm_eps": 1e-06,
  "rope_theta": 10000.0,
  "torch_dtype": "bfloat16",
  "tie_word_embeddings": true,
)" + field("hidden_size", shape.hidden_size) +
         field("intermediate_size", shape.intermediate_size) +
         field("num_hidden_layers", shape.num_hidden_layers) +
         field("num_attention_heads", shape.num_attention_heads) +
         field("num_key_value_heads", shape.num_key_value_heads) +
         field("vocab_size", shape.vocab_size) +
         field("max_position_embeddings", shape.max_position_embeddings) +
         field("bos_token_id", kCharacters) + "  \"eos_token_id\": " + std::to_string(kCharacters) +
         "\n}\n";
}

}  // namespace

void write_tokenizer(const fs::path& folder) {
  fs::create_directories(folder);
  write_text(folder / "tokenizer.json", tokenizer_text());
  write_text(folder / "tokenizer_config.json", kTokenizerConfig);
}

void write_model(const fs::path& folder, const Shape& shape, const suture::StateDict& weights) {
  suture::StateDict rounded;
  for (const auto& [name, tensor] : weights) rounded.set(name, tensor.detach().to(at::kBFloat16));
  suture::SaveOptions options;
  options.replace_existing = true;
  suture::save(rounded, folder.string(), options);
  write_tokenizer(folder);
  write_text(folder / "generation_config.json",
             "{\n  \"eos_token_id\": " + std::to_string(kCharacters) + "\n}\n");
  write_text(folder / kLastFile, config_text(shape));
}

bool is_written(const fs::path& folder) { return fs::exists(folder / kLastFile); }

suture::StateDict read_model(const fs::path& folder) {
  suture::StateDict weights;
  for (const auto& [name, tensor] : suture::load(folder.string()))
    weights.set(name, tensor.to(at::kFloat));
  return weights;
}

}  // namespace miniature
