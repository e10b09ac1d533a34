#pragma once

#include <functional>

#include "ablation/arm_journal.h"
#include "ablation/arm_order.h"

namespace suture::ablation {

/// Scores arms one after the other.
class ArmScorer {
 public:
  virtual ~ArmScorer() = default;

  /// Gives the weights the arm's vector and scores them. `on_progress` is told the share of the
  /// arm's work that is done.
  virtual ScoredArm score(const Arm& arm, const ArmTurn& turn,
                          const std::function<void(double share)>& on_progress) = 0;
};

}  // namespace suture::ablation
