#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "suture/ablation.h"

namespace suture::ablation {

/// What `arm` adds to the target. Random vectors take a pass over the vector. Throws UsageError
/// when the layers cannot change places.
TaskVector vector_of(const Arm& arm, const TaskVector& vector, const RunOptions& options);

/// An arm's weights, stage by stage in the order in which tokens go through a model: embedding, one
/// stage for each layer, final norm and head. Two arms have the same weights in a stage when their
/// entries are equal.
using StageWeights = std::vector<std::string>;

/// `layers` is the model's number. A tied embedding belongs to the first stage.
StageWeights stage_weights(const Arm& arm, const std::vector<std::string>& vector_tensors,
                           std::size_t layers);

}  // namespace suture::ablation
