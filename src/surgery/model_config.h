#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace suture {

/// What of a model's `config.json` matters for surgery.
struct ModelConfig {
  std::string architecture;  ///< `Qwen2ForCausalLM`; empty when not stated.
  std::optional<std::int64_t> vocab_size;
  std::optional<std::int64_t> layers;
  bool tied_embeddings = false;  ///< The head is the input embedding.
  std::string quantization;      ///< Method of `quantization_config`; empty for none.
  std::map<std::string, std::string> structure;  ///< Settings that fix tensor shapes, as JSON text.
  std::map<std::string, std::string>
      meaning;  ///< Settings that change what weights mean: rope, norms.
};

/// Reads `folder/config.json`; nothing when there is none. Both spellings of transformers 4 and 5
/// give the same settings. Throws FormatError for values that no model can have.
std::optional<ModelConfig> read_model_config(const std::filesystem::path& folder);

}  // namespace suture
