#include "model/architectures.h"

namespace suture::model {

/// Llama 1, 2, 3 and relatives that share its name: biases only where the config asks for them.
DecoderConfig describe_llama(ConfigReader& config) {
  DecoderConfig decoder = read_common_settings(config);
  decoder.architecture = "LlamaForCausalLM";
  decoder.query_key_value_bias = decoder.output_bias = config.flag("attention_bias", false);
  decoder.mlp_bias = config.flag("mlp_bias", false);
  return decoder;
}

}  // namespace suture::model
