#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ablation/arm_weights.h"

namespace suture::ablation {

/// One arm's turn, and what it takes over from the turns before.
struct ArmTurn {
  std::size_t arm = 0;  ///< Index among the arms.
  /// The first layer that is computed; below it, hidden states are taken over. 0: all layers.
  std::size_t resume = 0;
  std::size_t keep = 0;   ///< The layer whose inputs are kept for later turns; 0 for none.
  bool last_use = false;  ///< What it resumes from is of no use to later turns.
};

/// Layers at the bottom in which two arms have the same weights, the embedding included; 0 when
/// that differs.
std::size_t shared_layers(const StageWeights& a, const StageWeights& b);

/// An order in which an arm shares as many lower layers with the one before it as it can: the
/// arms are the leaves of a tree whose edges are the weights of a layer, and it is walked depth
/// first, the smallest branches first, so that one set of hidden states goes up each long trunk.
/// Of arms with the same weights only the first has a turn.
std::vector<std::size_t> order_arms(const std::vector<StageWeights>& arms);

/// What each turn in this order takes over and keeps.
std::vector<ArmTurn> plan_turns(const std::vector<StageWeights>& arms,
                                const std::vector<std::size_t>& order);

/// Layers that the turns compute, as multiples of the whole model's.
double layers_computed(const std::vector<ArmTurn>& turns, std::size_t layers);

}  // namespace suture::ablation
