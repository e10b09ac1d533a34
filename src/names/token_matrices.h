#pragma once

#include <string_view>
#include <vector>

#include "suture/tensor_info.h"

namespace suture {

/// The matrix with a row for each token that a model begins with; null where there is none, or more
/// than one. Positions (`wpe`) are no tokens.
const TensorInfo* token_embedding_of(const std::vector<TensorInfo>& tensors);

/// Whether a tensor by its name is the matrix that a language model ends with, which may be tied to
/// the embedding: `lm_head.weight`, `embed_out.weight`.
bool is_language_head(std::string_view name);

/// That matrix; null where there is none, or more than one.
const TensorInfo* language_head_of(const std::vector<TensorInfo>& tensors);

}  // namespace suture
