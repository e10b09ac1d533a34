#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "suture/tensor_info.h"

namespace suture {

/// What stands before the layers or the token embedding in the name of a tensor of either:
/// `language_model.model.` of `language_model.model.layers.0.mlp.up_proj.weight`. None for others.
/// Each such prefix is a tower: a decoder, a vision encoder.
std::optional<std::string_view> tower_of(std::string_view name);

using Towers = std::set<std::string, std::less<>>;

/// All towers of a model.
Towers towers_of(const std::vector<TensorInfo>& tensors);

/// The tower that a tensor belongs to: its own, or the one of `towers` with the longest prefix that
/// it has. None beside all of them.
std::optional<std::string_view> tower_around(std::string_view name, const Towers& towers);

/// A tower for people: `model.*`, or `names without prefix`.
std::string shown_tower(const std::string& tower);

/// No model has more towers; with more, names are not compared tower by tower.
inline constexpr std::size_t kMostTowers = 32;

/// Towers of which both have tensors under one name; views into the names of `b`.
std::set<std::string_view> common_towers(const std::vector<TensorInfo>& a,
                                         const std::vector<TensorInfo>& b);

}  // namespace suture
