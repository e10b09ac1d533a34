#include "names/token_matrices.h"

#include "suture/site.h"

#include "names/tower.h"

namespace suture {
namespace {

template <typename Predicate>
const TensorInfo* only_matrix(const std::vector<TensorInfo>& tensors, Predicate&& is_wanted) {
  const TensorInfo* found = nullptr;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.shape.size() != 2 || !is_wanted(tensor.name)) continue;
    if (found != nullptr) return nullptr;
    found = &tensor;
  }
  return found;
}

bool ends_in(std::string_view name, std::string_view end) {
  if (name.size() < end.size() || name.substr(name.size() - end.size()) != end) return false;
  return name.size() == end.size() || name[name.size() - end.size() - 1] == '.';
}

}  // namespace

const TensorInfo* token_embedding_of(const std::vector<TensorInfo>& tensors) {
  return only_matrix(tensors, [](const std::string& name) {
    return site_of(name).block == Block::kEmbedding && tower_of(name).has_value();
  });
}

bool is_language_head(std::string_view name) {
  return ends_in(name, "lm_head.weight") || ends_in(name, "embed_out.weight");
}

const TensorInfo* language_head_of(const std::vector<TensorInfo>& tensors) {
  return only_matrix(tensors, [](const std::string& name) { return is_language_head(name); });
}

}  // namespace suture
