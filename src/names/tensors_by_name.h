#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "suture/tensor_info.h"

namespace suture {

/// A model's tensors by name; views into them.
using TensorsByName = std::unordered_map<std::string_view, const TensorInfo*>;

TensorsByName by_name(const std::vector<TensorInfo>& tensors);

/// Null where there is none.
const TensorInfo* find(const TensorsByName& tensors, std::string_view name);

/// The first dimension; 1 for a scalar.
std::int64_t rows_of(const TensorInfo& tensor);

/// Whether rows of both have one shape.
bool same_row_shape(const TensorInfo& a, const TensorInfo& b);

/// Whether it is a matrix with a row for each token, by its name: an embedding or a head.
bool has_token_rows(const TensorInfo& tensor);

}  // namespace suture
