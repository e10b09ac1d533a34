#pragma once

#include <filesystem>
#include <memory>

#include "suture/ablation.h"

#include "ablation/arm_scorer.h"
#include "surgery/switched_weights.h"

namespace suture::ablation {

/// Has arms scored by an outside evaluator: a copy of the target's folder is made once and its
/// weights are written over tensor by tensor. The folder goes when this ends.
class FolderScorer final : public ArmScorer {
 public:
  /// Throws what `inject` throws, among others when `folder` exists.
  FolderScorer(const Checkpoint& target, const TaskVector& vector,
               const OutsideEvaluator& evaluator, const std::filesystem::path& folder,
               const AblationOptions& options);
  ~FolderScorer() override;
  FolderScorer(const FolderScorer&) = delete;
  FolderScorer& operator=(const FolderScorer&) = delete;

  ScoredArm score(const Arm& arm, const ArmTurn& turn,
                  const std::function<void(double share)>& on_progress) override;

 private:
  void say_what_it_is(const Arm& arm, const TaskVector& vector) const;

  std::string target_name_;
  const TaskVector& vector_;
  const OutsideEvaluator& evaluator_;
  std::filesystem::path folder_;
  const AblationOptions& options_;
  std::unique_ptr<SwitchedWeights> weights_;
};

}  // namespace suture::ablation
