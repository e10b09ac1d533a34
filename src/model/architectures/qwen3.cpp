#include "model/architectures.h"

namespace suture::model {

/// Qwen3: heads of a size of their own, and an RMSNorm on every query and key head.
DecoderConfig describe_qwen3(ConfigReader& config) {
  DecoderConfig decoder = read_common_settings(config);
  decoder.architecture = "Qwen3ForCausalLM";
  decoder.head_size = config.count("head_dim", 128);
  decoder.windows = read_switched_windows(config, decoder.layers);
  decoder.query_key_norm = true;
  config.require("mlp_bias", false);
  decoder.query_key_value_bias = decoder.output_bias = config.flag("attention_bias", false);
  return decoder;
}

}  // namespace suture::model
