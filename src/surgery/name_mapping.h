#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "suture/name_mapping.h"

namespace suture {

/// What stands before the layers or the token embedding in the name of a tensor of either:
/// `language_model.model.` of `language_model.model.layers.0.mlp.up_proj.weight`. None for others.
std::optional<std::string_view> tower_of(std::string_view name);

/// Rows of the mapping's query, key and value projections that contradict the numbers of heads in
/// `structure` (ModelConfig), in words; empty when none do or the numbers are not known.
std::string contradicted_heads(const NameMapping& mapping,
                               const std::map<std::string, std::string>& structure);

}  // namespace suture
