#pragma once

#include <memory>
#include <string>
#include <vector>

#include "suture/compatibility.h"
#include "suture/realised_change.h"
#include "suture/run_options.h"
#include "suture/task_vector.h"

#include "stream/weights_store.h"
#include "surgery/injected_tensors.h"

namespace suture {

/// Weights that are made to hold `target + vector` for one vector after another: the bytes that
/// `inject` writes. Only tensors that the next vector makes otherwise than the present one are
/// written. What is restored is read from the target's files, so no copy is kept; those must not
/// change meanwhile. Not synchronised.
class SwitchedWeights {
 public:
  /// `store` holds the target's own bytes.
  SwitchedWeights(const Checkpoint& target, std::unique_ptr<stream::WeightsStore> store,
                  VocabularyPolicy vocabulary = VocabularyPolicy::kSame,
                  const RunOptions& options = {});

  /// How every tensor of the target is made with this vector; comparing two plans tells which
  /// tensors differ. The vector must outlive the plan.
  std::vector<OutputTensor> plan(const TaskVector& vector) const;

  /// Gives the weights this vector; an empty one gives them the target's bytes back. Returns the
  /// number of tensors written. Throws IoError when a source has changed on disk, Interrupted; the
  /// tensors being written are then undefined, and the next call writes them again.
  std::size_t become(const TaskVector& vector);

  /// Gives the weights the target's bytes back, also when the run has been cancelled. Throws
  /// IoError.
  void restore();

  /// What rounding left of the present vector.
  RealisedChanges realised() const;

 private:
  std::vector<std::size_t> changed(const std::vector<OutputTensor>& next) const;

  SourcePtr target_;
  std::unique_ptr<stream::WeightsStore> store_;
  VocabularyPolicy vocabulary_;
  RunOptions options_;
  TaskVector vector_;                  // keeps the sources of `outputs_` open
  std::vector<OutputTensor> outputs_;  // how the weights are made now
  std::vector<bool> known_;            // of each: whether it was written to the end
  std::vector<kernels::ChangeSums> sums_;
};

}  // namespace suture
