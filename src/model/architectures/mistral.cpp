#include "model/architectures.h"

namespace suture::model {

/// Mistral: Llama without biases, with a sliding window in every layer.
DecoderConfig describe_mistral(ConfigReader& config) {
  DecoderConfig decoder = read_common_settings(config);
  decoder.architecture = "MistralForCausalLM";
  decoder.key_value_heads = config.count("num_key_value_heads", 8);
  decoder.windows.assign(decoder.windows.size(), config.window().value_or(0));
  config.require("attention_bias", false);
  config.require("mlp_bias", false);
  return decoder;
}

}  // namespace suture::model
