#include "model/architectures.h"

namespace suture::model {

/// Qwen2 and Qwen2.5: biases on queries, keys and values, whatever the config says.
DecoderConfig describe_qwen2(ConfigReader& config) {
  DecoderConfig decoder = read_common_settings(config);
  decoder.architecture = "Qwen2ForCausalLM";
  decoder.windows = read_switched_windows(config, decoder.layers);
  decoder.query_key_value_bias = true;
  config.flag("attention_bias", true);  // read by nobody
  config.require("mlp_bias", false);
  return decoder;
}

}  // namespace suture::model
