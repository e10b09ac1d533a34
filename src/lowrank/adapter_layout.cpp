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

Holding holding_of_matrix(const TensorInfo& weight, const AdaptedModel& model) {
  if (!is_embedding(weight) && !is_head(weight)) return Holding::kFactors;
  if (model.low_rank_embeddings) return Holding::kFactors;
  return model.tied ? Holding::kOwnTensor : Holding::kSavedModule;
}

// A module is saved whole, or adapted and its bias kept beside the factors.
Holding holding_of_bias(const std::string& module, const AdaptedModel& model) {
  const TensorInfo* weight = model.base->find(module + ".weight");
  const bool is_adapted = weight != nullptr && is_matrix(*weight) &&
                          holding_of_matrix(*weight, model) != Holding::kSavedModule;
  return is_adapted ? Holding::kBias : Holding::kSavedModule;
}

}  // namespace

Holding holding_of(const TensorInfo& tensor, const AdaptedModel& model) {
  const std::string module = module_of(tensor.name), parameter = parameter_of(tensor.name);
  if (module.empty()) return Holding::kNone;
  if (parameter == "weight" && is_matrix(tensor)) return holding_of_matrix(tensor, model);
  if (tensor.shape.size() != 1) return Holding::kNone;
  if (parameter == "weight") return Holding::kSavedModule;
  return parameter == "bias" ? holding_of_bias(module, model) : Holding::kNone;
}

bool is_fan_in_fan_out(const std::string& architecture) {
  return architecture.rfind("GPT2", 0) == 0;
}

}  // namespace suture
