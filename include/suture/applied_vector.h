#pragma once

#include "suture/run_options.h"
#include "suture/state_dict.h"
#include "suture/task_vector.h"

namespace suture {

/// A task vector in the weights of a running model for as long as this object lives: `round(weights
/// + scale * vector)`, in place, then the weights' own bytes again. Memory: a copy of the tensors
/// that the vector has. Of several on the same weights the last one must end first. Not
/// synchronised; the model must not run while weights change.
class AppliedVector {
 public:
  /// Applies the vector. Throws what `TaskVector::apply_to` throws, with the weights as they were.
  AppliedVector(const StateDict& weights, TaskVector vector, double scale = 1,
                const RunOptions& options = {});

  /// Takes the vector off, to the bit.
  ~AppliedVector();
  AppliedVector(const AppliedVector&) = delete;
  AppliedVector& operator=(const AppliedVector&) = delete;

  /// Puts another scale in place of the present one: the same bytes as applying it first. Throws
  /// what `TaskVector::apply_to` throws; the weights are then without the vector.
  void rescale(double scale);

 private:
  void restore();

  StateDict weights_, kept_;
  TaskVector vector_;
  RunOptions options_;
};

}  // namespace suture
