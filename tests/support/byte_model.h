#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "suture/state_dict.h"

#include "support/temp_dir.h"
#include "support/tiny_decoder.h"
#include "tokenizer/byte_level.h"

namespace suture::test {

/// Rows of a model for `byte_tokenizer`: more than it has tokens.
inline constexpr std::int64_t kByteVocab = 300;

/// The text of a tokenizer.json with a token for each byte, and an end.
inline std::string byte_tokenizer() {
  using nlohmann::json;
  json vocab = json::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string token;
    append_byte_level(std::string(1, static_cast<char>(byte)), token);
    vocab[token] = byte;
  }
  const json tokenizer{
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"added_tokens",
       {{{"id", 256}, {"content", "<end>"}, {"special", true}, {"normalized", false}}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}}};
  return tokenizer.dump();
}

/// Writes a tiny decoder's weights as a model folder that can read text. What stood there goes.
inline std::filesystem::path write_byte_model(const std::filesystem::path& folder,
                                              const StateDict& weights) {
  std::filesystem::remove_all(folder);
  save(weights, folder.string());
  std::string config = testing_support::tiny_config(R"(, "architectures": ["Qwen2ForCausalLM"])");
  config.replace(config.find("61"), 2,
                 std::to_string(weights.at("model.embed_tokens.weight").size(0)));
  config.replace(config.find("128"), 3, "256");
  write_file(folder / "config.json", config);
  write_file(folder / "tokenizer.json", byte_tokenizer());
  write_file(folder / "tokenizer_config.json", R"({"eos_token": "<end>"})");
  return folder;
}

}  // namespace suture::test
