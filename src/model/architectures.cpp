#include "model/architectures.h"

#include <map>

#include "suture/error.h"

namespace suture::model {
namespace {

constexpr std::int64_t kMaxLayers = 10'000;

using Describe = DecoderConfig (*)(ConfigReader&);

const std::map<std::string, Describe>& architectures() {
  static const std::map<std::string, Describe> table{{"llama", describe_llama},
                                                     {"mistral", describe_mistral},
                                                     {"qwen2", describe_qwen2},
                                                     {"qwen3", describe_qwen3}};
  return table;
}

std::string implemented() {
  std::string names;
  for (const auto& [name, describe] : architectures()) names += (names.empty() ? "" : ", ") + name;
  return "one of " + names;
}

void require_consistent(const ConfigReader& config, const DecoderConfig& decoder) {
  if (decoder.heads % decoder.key_value_heads != 0) {
    config.fail(std::to_string(decoder.heads) + " heads for " +
                    std::to_string(decoder.key_value_heads) + " key-value heads",
                "a multiple");
  }
  if (decoder.head_size % 2 != 0)
    config.fail("heads of odd size " + std::to_string(decoder.head_size), "an even size");
}

}  // namespace

DecoderConfig read_common_settings(ConfigReader& config) {
  DecoderConfig decoder;
  decoder.vocab_size = config.count("vocab_size");
  decoder.hidden_size = config.count("hidden_size");
  decoder.intermediate_size = config.count("intermediate_size");
  decoder.layers = config.count("num_hidden_layers");
  if (decoder.layers > kMaxLayers)
    config.fail(std::to_string(decoder.layers) + " layers", "10,000 at most");
  decoder.heads = config.count("num_attention_heads");
  decoder.key_value_heads = config.count("num_key_value_heads", decoder.heads);
  decoder.head_size = config.count("head_dim", decoder.hidden_size / decoder.heads);
  decoder.max_length = config.count("max_position_embeddings");
  decoder.norm_epsilon = config.positive("rms_norm_eps", 1e-6);
  decoder.rope = config.rope(decoder.max_length);
  decoder.windows.assign(static_cast<std::size_t>(decoder.layers), 0);
  decoder.tied_head = config.flag("tie_word_embeddings", false);
  config.require("hidden_act", "silu");
  config.require("is_causal", true);
  return decoder;
}

std::vector<std::int64_t> read_switched_windows(ConfigReader& config, std::int64_t layers) {
  const bool slides = config.flag("use_sliding_window", false);
  const auto window = config.window();
  const auto sliding = config.sliding_layers(layers);
  const std::int64_t first = config.index("max_window_layers", 28);
  std::vector<std::int64_t> windows(static_cast<std::size_t>(layers), 0);
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const bool here = sliding ? (*sliding)[i] : slides && static_cast<std::int64_t>(i) >= first;
    if (here && slides && window) windows[i] = *window;
    if (sliding && here && !(slides && window))
      config.fail("layer_types with sliding attention and no window in use",
                  "use_sliding_window and sliding_window");
  }
  return windows;
}

DecoderConfig describe_decoder(const format::Json& config, const std::string& file,
                               bool ignore_unknown_settings) {
  ConfigReader reader(config, file);
  const std::string type = reader.text("model_type");
  const auto describe = architectures().find(type);
  if (describe == architectures().end())
    reader.not_implemented("model_type '" + printable(type) + "'", implemented());
  reader.require("quantization_config", nullptr);
  reader.require("use_mrope", false);
  const DecoderConfig decoder = describe->second(reader);
  require_consistent(reader, decoder);
  if (!ignore_unknown_settings) reader.refuse_unknown();
  return decoder;
}

}  // namespace suture::model
