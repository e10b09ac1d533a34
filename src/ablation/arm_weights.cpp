#include "ablation/arm_weights.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "suture/control_vector.h"
#include "suture/site.h"

namespace suture::ablation {
namespace {

TaskVector permuted(const TaskVector& vector, std::uint64_t seed) {
  std::set<std::size_t> layers;
  for (const std::string& name : vector.names())
    if (const auto layer = site_of(name).layer) layers.insert(static_cast<std::size_t>(*layer));
  const std::size_t count = layers.empty() ? 0 : *layers.rbegin() + 1;
  return with_layer_order(vector, draw_order(count, {layers.begin(), layers.end()}, seed));
}

std::size_t stage_of(const std::string& tensor, std::size_t layers) {
  const Site site = site_of(tensor);
  if (site.layer) return 1 + std::min(static_cast<std::size_t>(*site.layer), layers - 1);
  return site.block == Block::kHead || site.block == Block::kNorm ? layers + 1 : 0;
}

// What stands in for the tensors that the arm reaches: equal text, equal weights.
std::string content_of(const Arm& arm) {
  char scale[40];
  std::string text(scale, std::to_chars(scale, scale + sizeof scale, arm.scale).ptr);
  if (arm.kind == ArmKind::kRandom || arm.kind == ArmKind::kPermuted)
    text += std::string(" ") + name_of(arm.kind) + " " + std::to_string(*arm.seed);
  return text;
}

}  // namespace

TaskVector vector_of(const Arm& arm, const TaskVector& vector, const RunOptions& run) {
  RunOptions options = run;
  options.on_progress = {};  // told of whole arms, not of bytes
  switch (arm.kind) {
    case ArmKind::kTarget:
      return TaskVector();
    case ArmKind::kRandom:
      return arm.scale * norm_matched_random(vector, *arm.seed, options).only(arm.selection);
    case ArmKind::kPermuted:
      return arm.scale * permuted(vector, *arm.seed).only(arm.selection);
    default:
      return arm.scale * vector.only(arm.selection);
  }
}

StageWeights stage_weights(const Arm& arm, const std::vector<std::string>& vector_tensors,
                           std::size_t layers) {
  StageWeights stages(layers + 2);
  if (arm.kind == ArmKind::kTarget || arm.scale == 0) return stages;
  const std::string content = content_of(arm);
  for (const std::string& tensor : vector_tensors) {
    if (arm.selection.matches(tensor))
      stages[stage_of(tensor, layers)] += content + " " + tensor + "\n";
  }
  return stages;
}

}  // namespace suture::ablation
