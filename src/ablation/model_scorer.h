#pragma once

#include <vector>

#include "suture/ablation.h"

#include "ablation/arm_scorer.h"
#include "model/activation_memo.h"
#include "surgery/switched_weights.h"

namespace suture::ablation {

/// Scores arms on a model in memory, whose weights are switched in place and are the target's again
/// when this ends.
class ModelScorer final : public ArmScorer {
 public:
  ModelScorer(const Checkpoint& target, LanguageModel& model, const Tokenizer& tokenizer,
              const TaskVector& vector, const std::vector<Task>& tasks,
              const AblationOptions& options);

  /// Gives the weights the target's bytes back, or leaves it when those cannot be read: `restore`
  /// says so.
  ~ModelScorer() override;
  ModelScorer(const ModelScorer&) = delete;
  ModelScorer& operator=(const ModelScorer&) = delete;

  ScoredArm score(const Arm& arm, const ArmTurn& turn,
                  const std::function<void(double share)>& on_progress) override;

  /// Gives the weights the target's bytes back. Throws IoError.
  void restore() { weights_.restore(); }

 private:
  Evaluation evaluate_arm(const Arm& arm, std::size_t task, const EvaluationOptions& options);

  LanguageModel& model_;
  const Tokenizer& tokenizer_;
  const TaskVector& vector_;
  const std::vector<Task>& tasks_;
  const AblationOptions& options_;
  SwitchedWeights weights_;
  std::vector<model::ActivationMemo> memos_;  // by task
};

}  // namespace suture::ablation
