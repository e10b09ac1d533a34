#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace suture::model {

/// Rotary position embedding: one angle per position and pair of head dimensions.
struct RopeConfig {
  enum class Kind { kDefault, kLinear, kDynamic, kYarn, kLlama3 };
  Kind kind = Kind::kDefault;
  double theta = 10000;
  double factor = 1;                       ///< All kinds but the default.
  double original_max_length = 0;          ///< YaRN and Llama 3: positions in pre-training.
  double low_frequency_factor = 1;         ///< Llama 3.
  double high_frequency_factor = 4;        ///< Llama 3.
  double beta_fast = 32, beta_slow = 1;    ///< YaRN: rotations that bound the ramp.
  std::optional<double> attention_factor;  ///< YaRN: of cosines and sines; derived when not given.
  std::optional<double> mscale, mscale_all_dim;  ///< YaRN: what it is derived from.
  bool truncate = true;                          ///< YaRN: the ramp begins at whole dimensions.
};

/// Everything that tells one decoder of this family from another: pre-norm RMSNorm, rotary
/// grouped-query attention, gated SiLU feed-forward. An architecture is a function from its
/// `config.json` to this description (see architectures.h).
struct DecoderConfig {
  std::string architecture;
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;            ///< Of queries.
  std::int64_t key_value_heads = 0;  ///< Each serves `heads / key_value_heads` query heads.
  std::int64_t head_size = 0;
  std::int64_t max_length = 0;  ///< Positions that the model was made for.
  double norm_epsilon = 1e-6;
  RopeConfig rope;
  std::vector<std::int64_t> windows;  ///< Per layer: a query sees this many last keys; 0: all.
  bool query_key_value_bias = false;
  bool output_bias = false;     ///< Of the attention's output projection.
  bool mlp_bias = false;        ///< Of all three feed-forward projections.
  bool query_key_norm = false;  ///< RMSNorm of each query and key head before the rotation.
  bool tied_head = false;       ///< The head is the input embedding.
};

}  // namespace suture::model
