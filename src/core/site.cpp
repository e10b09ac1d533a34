#include "suture/site.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <vector>

namespace suture {
namespace {

constexpr std::array<std::string_view, 6> kBlockNames{"attention", "mlp",  "norm",
                                                      "embedding", "head", "other"};

std::vector<std::string_view> split(std::string_view name) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0;;) {
    const std::size_t dot = name.find('.', begin);
    parts.push_back(name.substr(begin, dot - begin));
    if (dot == std::string_view::npos) return parts;
    begin = dot + 1;
  }
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// Tables are sized by layer indices, so a number that no model reaches is none.
constexpr int kMaxLayers = 100'000;

std::optional<int> as_index(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 ||
      value >= kMaxLayers) {
    return std::nullopt;
  }
  return value;
}

std::optional<int> layer_in(const std::vector<std::string_view>& parts) {
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (!is_one_of(parts[i - 1], {"layers", "layer", "h", "blocks", "block"})) continue;
    if (const auto index = as_index(parts[i])) return index;
  }
  return std::nullopt;
}

bool is_norm(std::string_view part) {
  return part.find("norm") != std::string_view::npos || part.substr(0, 3) == "ln_";
}

Block block_in(const std::vector<std::string_view>& parts) {
  for (const std::string_view part : parts) {
    if (part.find("attn") != std::string_view::npos) {
      if (!is_norm(part)) return Block::kAttention;
    }
    if (is_one_of(part, {"attention", "self_attention"})) return Block::kAttention;
    if (is_one_of(part, {"mlp", "feed_forward", "ffn", "block_sparse_moe", "moe", "experts"})) {
      return Block::kMlp;
    }
    if (is_one_of(part, {"embed_tokens", "wte", "wpe", "word_embeddings", "tok_embeddings",
                         "embed_in"})) {
      return Block::kEmbedding;
    }
    if (is_one_of(part, {"lm_head", "embed_out", "score"})) return Block::kHead;
  }
  return std::any_of(parts.begin(), parts.end(), is_norm) ? Block::kNorm : Block::kOther;
}

// The last part that is not the parameter's own name (`weight`, `bias`).
std::string_view module_in(const std::vector<std::string_view>& parts) {
  return parts.size() > 1 ? parts[parts.size() - 2] : parts.front();
}

}  // namespace

Site site_of(std::string_view tensor_name) {
  const std::vector<std::string_view> parts = split(tensor_name);
  return {layer_in(parts), block_in(parts), std::string(module_in(parts))};
}

std::string_view name_of(Block block) { return kBlockNames[static_cast<std::size_t>(block)]; }

std::optional<Block> block_from_name(std::string_view text) {
  const auto at = std::find(kBlockNames.begin(), kBlockNames.end(), text);
  if (at == kBlockNames.end()) return std::nullopt;
  return static_cast<Block>(at - kBlockNames.begin());
}

}  // namespace suture
