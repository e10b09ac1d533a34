#include "lowrank/adapter_layout.h"

#include "suture/site.h"

namespace suture {
namespace {

bool is_matrix(const TensorInfo& tensor) {
  return tensor.shape.size() == 2 && tensor.shape[0] > 0 && tensor.shape[1] > 0;
}

bool is_embedding(const TensorInfo& tensor) {
  return site_of(tensor.name).block == Block::kEmbedding;
}

bool is_head(const TensorInfo& tensor) { return site_of(tensor.name).block == Block::kHead; }

// A module whose weight is a matrix, and so none that is saved for its bias's sake.
bool has_matrix(const TensorSource& base, const std::string& module) {
  const TensorInfo* weight = base.find(module + ".weight");
  return weight != nullptr && is_matrix(*weight);
}

}  // namespace

Holding holding_of(const TensorInfo& tensor, const AdaptedModel& model) {
  const std::string module = module_of(tensor.name), parameter = parameter_of(tensor.name);
  if (module.empty()) return Holding::kNone;
  if (parameter == "weight" && is_matrix(tensor)) {
    if (!is_embedding(tensor) && !is_head(tensor)) return Holding::kFactors;
    if (model.low_rank_embeddings) return Holding::kFactors;
    return model.tied ? Holding::kOwnTensor : Holding::kSavedModule;
  }
  if (tensor.shape.size() != 1) return Holding::kNone;
  if (parameter == "bias" && has_matrix(*model.base, module)) return Holding::kBias;
  if (parameter == "weight" || parameter == "bias") return Holding::kSavedModule;
  return Holding::kNone;
}

bool is_fan_in_fan_out(const std::string& architecture) {
  return architecture.rfind("GPT2", 0) == 0;
}

}  // namespace suture
