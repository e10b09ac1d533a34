#include "model/architectures.h"

namespace suture::model {

/// Mistral: Llama with a sliding window in every layer. A config that does not name the window has
/// one of 4096; null means none.
DecoderConfig describe_mistral(ConfigReader& config) {
  DecoderConfig decoder = read_common_settings(config);
  decoder.architecture = "MistralForCausalLM";
  decoder.key_value_heads = config.count("num_key_value_heads", 8);
  const std::int64_t unnamed = config.has("sliding_window") ? 0 : 4096;
  const std::int64_t window = config.optional_count("sliding_window").value_or(unnamed);
  decoder.windows.assign(decoder.windows.size(), window);
  return decoder;
}

}  // namespace suture::model
