#include "names/tensors_by_name.h"

#include <algorithm>

#include "suture/site.h"

namespace suture {

TensorsByName by_name(const std::vector<TensorInfo>& tensors) {
  TensorsByName names;
  for (const TensorInfo& tensor : tensors) names.emplace(tensor.name, &tensor);
  return names;
}

const TensorInfo* find(const TensorsByName& tensors, std::string_view name) {
  const auto at = tensors.find(name);
  return at == tensors.end() ? nullptr : at->second;
}

std::int64_t rows_of(const TensorInfo& tensor) {
  return tensor.shape.empty() ? 1 : tensor.shape.front();
}

bool same_row_shape(const TensorInfo& a, const TensorInfo& b) {
  return a.shape.size() == b.shape.size() && !a.shape.empty() &&
         std::equal(a.shape.begin() + 1, a.shape.end(), b.shape.begin() + 1);
}

bool has_token_rows(const TensorInfo& tensor) {
  const Block block = site_of(tensor.name).block;
  return tensor.shape.size() == 2 && (block == Block::kEmbedding || block == Block::kHead);
}

}  // namespace suture
