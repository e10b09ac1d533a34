#pragma once

#include <map>
#include <string>

#include "suture/name_mapping.h"

namespace suture {

/// Rows of the mapping's query, key and value projections that contradict the numbers of heads in
/// `structure`, settings of a model's config by name; in words, empty when none do or the numbers
/// are not known.
std::string contradicted_heads(const NameMapping& mapping,
                               const std::map<std::string, std::string>& structure);

}  // namespace suture
