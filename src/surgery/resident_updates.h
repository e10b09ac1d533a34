#pragma once

#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/run_options.h"

#include "core/cuda_device.h"
#include "kernels/linear_form.h"
#include "surgery/form.h"

namespace suture {

/// Address ranges that nothing may run beside: those that a batch writes, and those that it reads.
class AddressRanges {
 public:
  /// True when a range shares a byte with one of these.
  bool overlap(const void* data, std::uint64_t bytes) const;
  void add(const void* data, std::uint64_t bytes);
  void clear() { ends_.clear(); }

 private:
  std::map<std::uintptr_t, std::uintptr_t> ends_;  // by begin; disjoint, since overlaps are joined
};

/// Adds terms to CUDA weights where they lie, many weights a launch. Work is queued on LibTorch's
/// current streams. Not synchronised.
class ResidentUpdates {
 public:
  explicit ResidentUpdates(const RunOptions& options, const ResidentMachine& machine = {})
      : options_(options), machine_(machine) {}

  /// True when the weight is on a device that there are kernels for; where they are missing, a
  /// note says why, once.
  bool can_take(const at::Tensor& weight);

  /// weight <- round(weight + sum of terms), now or at the latest in `run`. Operands on the
  /// weight's device are used where they are, others are sent tile by tile. Throws DeviceError,
  /// IoError, Interrupted.
  void add(const at::Tensor& weight, const std::vector<ActiveTerm>& terms);

  /// Queues what has been added.
  void run();

 private:
  struct Pending {
    at::Tensor weight;
    std::vector<kernels::TermTile> terms;
  };

  void add_resident(const at::Tensor& dense, const std::vector<ActiveTerm>& terms);
  void add_streamed(const at::Tensor& dense, const std::vector<ActiveTerm>& terms);
  bool must_wait(const Pending& update) const;

  const RunOptions& options_;
  const ResidentMachine machine_;
  std::map<int, bool> usable_;    // by device
  std::vector<Pending> pending_;  // of one device
  AddressRanges written_, read_;
};

}  // namespace suture
