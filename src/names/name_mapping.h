#pragma once

#include <vector>

#include "suture/name_mapping.h"

namespace suture {

/// What a projection that `from` lacks means where others of it are joined: a model that lacks one
/// is refused, in a vector its change is zero, and its rows are told from the others and the whole.
enum class Absent { kRefused, kZero };

NameMapping mapping_between(const std::vector<TensorInfo>& from, const std::vector<TensorInfo>& to,
                            Absent absent);

/// The way back: old names from new ones, which a model has with the tensors `now`, where every
/// part of an old tensor is in the mapping. Of two tensors that were made from the same rows, the
/// first. Without rules.
NameMapping inverse_of(const NameMapping& mapping, const std::vector<TensorInfo>& now);

}  // namespace suture
