#include "ablation/folder_scorer.h"

#include <system_error>

#include <nlohmann/json.hpp>

#include "suture/surgery.h"

#include "ablation/arm_weights.h"
#include "format/staged_output.h"
#include "stream/weights_store.h"

namespace suture::ablation {
FolderScorer::FolderScorer(const Checkpoint& target, const TaskVector& vector,
                           const OutsideEvaluator& evaluator, const std::filesystem::path& folder,
                           const AblationOptions& options)
    : target_name_(target.name()),
      vector_(vector),
      evaluator_(evaluator),
      folder_(folder),
      options_(options) {
  InjectOptions copy;
  copy.run = options.run;
  copy.run.on_progress = {};  // told of whole arms
  inject(target, TaskVector(), folder.string(), copy);
  try {
    weights_ = std::make_unique<SwitchedWeights>(
        target, std::make_unique<stream::WeightsOnDisk>(Checkpoint::open(folder.string())),
        options.vocabulary, options.run);
  } catch (...) {
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
    throw;
  }
}

FolderScorer::~FolderScorer() {
  std::error_code error;
  if (weights_) std::filesystem::remove_all(folder_, error);
}

// The provenance of the copy would go on claiming what is no longer true.
void FolderScorer::say_what_it_is(const Arm& arm, const TaskVector& vector) const {
  const nlohmann::ordered_json json{{"schema", "suture.arm/1"},
                                    {"arm", arm.name},
                                    {"formula", target_name_ + " + " + vector.formula()}};
  const std::filesystem::path path = folder_ / "suture.json";
  std::error_code error;
  std::filesystem::remove(path, error);
  using Handler = nlohmann::ordered_json::error_handler_t;
  format::write_small_file(path, json.dump(2, ' ', false, Handler::replace) + "\n");
}

ScoredArm FolderScorer::score(const Arm& arm, const ArmTurn&,
                              const std::function<void(double share)>& on_progress) {
  const TaskVector vector = vector_of(arm, vector_, options_.run);
  weights_->become(vector);
  say_what_it_is(arm, vector);
  ScoredArm scored;
  if (arm.kind != ArmKind::kTarget) scored.realised = weights_->realised().total;
  scored.metrics = evaluator_(folder_.string(), arm);
  on_progress(1);
  return scored;
}

}  // namespace suture::ablation
