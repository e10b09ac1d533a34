#pragma once

#include <string>

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include "kernels/cuda_backend.h"

namespace suture {

/// What computes on resident tensors: the CUDA kernels on CUDA devices. The tests play them on the
/// CPU.
struct ResidentMachine {
  c10::DeviceType memory = c10::DeviceType::CUDA;
  const kernels::CudaBackend* played = nullptr;  ///< In the kernels' place.

  /// The kernels, loaded when this is first called.
  const kernels::CudaBackend& backend() const;

  /// Why they cannot compute on a device; empty when they can.
  std::string missing(c10::Device device) const;
};

/// The stream that LibTorch queues work of this thread on, for a CUDA device with an index whose
/// library is loaded.
c10::Stream current_stream(c10::Device device);

/// The same for the kernels; the CPU has no queue.
kernels::CudaStream kernel_stream(const c10::Stream& stream);

}  // namespace suture
