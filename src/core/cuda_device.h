#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include "kernels/cuda_backend.h"

namespace suture {

/// The stream that LibTorch queues work of this thread on, for a CUDA device with an index whose
/// library is loaded.
c10::Stream current_stream(c10::Device device);

/// The same for the kernels.
kernels::CudaStream kernel_stream(const c10::Stream& stream);

}  // namespace suture
