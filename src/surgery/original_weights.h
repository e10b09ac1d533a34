#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/checkpoint.h"
#include "suture/run_options.h"

#include "surgery/weight_places.h"

namespace suture {

/// The bytes that places held before anything was applied: copies, or a checkpoint that is read
/// again. Reading is safe from several threads at once while nothing is held or dropped.
class OriginalWeights {
 public:
  OriginalWeights(const WeightPlaces& places, std::optional<Checkpoint> checkpoint);

  bool holds(std::size_t place) const { return held_[place]; }

  /// Keeps a copy of the place as it is now; or, when there is a checkpoint, finds that it gives
  /// these bytes in the weight's dtype. Throws CompatibilityError when it does not.
  void hold(std::size_t place, const RunOptions& options);

  /// Frees the copy.
  void drop(std::size_t place);

  /// Dense elements [first, first + count): where they are kept, else read into `out`, which is
  /// then returned. The place is flat, or `out` is CPU memory and there is a checkpoint.
  const void* tile(std::size_t place, std::uint64_t first, std::size_t count, void* out) const;

  /// The whole tensor, dense, on the weight's device.
  at::Tensor whole(std::size_t place) const;

  /// Throws IoError when the checkpoint's files were changed.
  void verify_unchanged() const;

  std::uint64_t kept_bytes() const { return kept_bytes_; }

 private:
  const TensorInfo& stored(std::size_t place) const;
  void verify(std::size_t place, const RunOptions& options) const;
  void read(std::size_t place, std::uint64_t first, std::size_t count, void* out) const;

  const WeightPlaces& places_;
  const std::optional<Checkpoint> checkpoint_;
  std::vector<at::Tensor> kept_;
  std::vector<bool> held_;
  std::atomic<std::uint64_t> kept_bytes_{0};
};

}  // namespace suture
