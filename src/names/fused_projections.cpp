#include "names/fused_projections.h"

namespace suture {
namespace {

constexpr std::array kFusions{
    Fusion{"self_attn.qkv_proj", {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, 3},
    Fusion{"mlp.gate_up_proj", {"mlp.gate_proj", "mlp.up_proj", ""}, 2}};

bool ends_in_module(std::string_view path, std::string_view module) {
  return path.size() > module.size() && path.substr(path.size() - module.size()) == module &&
         path[path.size() - module.size() - 1] == '.';
}

}  // namespace

std::optional<FusionPlace> fusion_place_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view parameter = name.substr(dot), path = name.substr(0, dot);
  if (parameter != ".weight" && parameter != ".bias") return std::nullopt;
  for (const Fusion& fusion : kFusions) {
    for (std::size_t i = 0; i <= fusion.count; ++i) {
      const std::string_view module = i == 0 ? fusion.fused : fusion.split[i - 1];
      if (!ends_in_module(path, module)) continue;
      return FusionPlace{&fusion, i == 0, std::string(path.substr(0, path.size() - module.size())),
                         std::string(parameter)};
    }
  }
  return std::nullopt;
}

bool is_fused_projection(std::string_view name) {
  const auto place = fusion_place_of(name);
  return place && place->is_fused;
}

bool complete_rows(const Fusion& fusion, std::int64_t whole, std::array<std::int64_t, 3>& rows) {
  // The last two are of one size.
  std::int64_t& first = rows[fusion.count - 2];
  std::int64_t& second = rows[fusion.count - 1];
  if (first == 0) first = second;
  if (second == 0) second = first;
  const bool has_queries = fusion.is_attention();
  std::int64_t twins = 0, all = 0;
  if (first == 0) {
    if (__builtin_sub_overflow(whole, has_queries ? rows[0] : 0, &twins) || twins % 2 != 0)
      return false;
    first = second = twins / 2;
  }
  if (__builtin_add_overflow(first, second, &twins)) return false;
  if (has_queries && rows[0] == 0 && __builtin_sub_overflow(whole, twins, &rows[0])) return false;
  if (__builtin_add_overflow(twins, has_queries ? rows[0] : 0, &all)) return false;
  return all == whole && first > 0 && first == second && (!has_queries || rows[0] > 0);
}

}  // namespace suture
