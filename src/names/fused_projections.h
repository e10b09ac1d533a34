#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace suture {

/// Projections that some models keep below one another in one tensor: queries, keys and values, or
/// the gate and what it opens, in this order of rows.
struct Fusion {
  std::string_view fused;                 ///< `self_attn.qkv_proj`
  std::array<std::string_view, 3> split;  ///< `self_attn.q_proj`, ...
  std::size_t count;                      ///< Of `split`.

  /// Whether its parts are a query, a key and a value projection.
  bool is_attention() const { return count == 3; }
};

/// Where a tensor stands in a fusion: `stem + module + parameter` is its name.
struct FusionPlace {
  const Fusion* fusion = nullptr;
  bool is_fused = false;
  std::string stem, parameter;

  std::string name_of(std::string_view module) const {
    return stem + std::string(module) + parameter;
  }
};

/// The place of a weight or bias by its name; none for tensors of no fusion.
std::optional<FusionPlace> fusion_place_of(std::string_view name);

/// Whether the name is that of several projections in one tensor.
bool is_fused_projection(std::string_view name);

/// Fills in the rows of parts where they are 0, from those of the others and of the whole: keys
/// have as many as values, gates as what they open. False when parts do not make up the whole.
bool complete_rows(const Fusion& fusion, std::int64_t whole, std::array<std::int64_t, 3>& rows);

}  // namespace suture
