#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace suture {

/// The part of a decoder that a tensor belongs to.
enum class Block { kAttention, kMlp, kNorm, kEmbedding, kHead, kOther };

/// Where a tensor sits in the model, read off its name alone.
struct Site {
  std::optional<int> layer;     ///< Index of its decoder layer; none outside the layers.
  Block block = Block::kOther;  ///< A norm inside attention (`q_norm`) counts as attention.
  std::string module;           ///< `q_proj`, `down_proj`, `input_layernorm`, `embed_tokens`, ...
};

/// Parses names as Hugging Face decoders write them (`model.layers.12.self_attn.q_proj.weight`,
/// `transformer.h.3.mlp.c_fc.bias`, `lm_head.weight`). A name that follows no known pattern gives
/// `Block::kOther` and its last part but one as the module.
Site site_of(std::string_view tensor_name);

/// `attention`, `mlp`, `norm`, `embedding`, `head` or `other`.
std::string_view name_of(Block block);

/// The block called `text`, if there is one.
std::optional<Block> block_from_name(std::string_view text);

}  // namespace suture
