#include "core/cuda_device.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace suture {

// Through the registry that LibTorch's CUDA library enters itself into, so that it is not linked.
c10::Stream current_stream(c10::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

kernels::CudaStream kernel_stream(const c10::Stream& stream) {
  return {stream.device_index(), stream.native_handle()};
}

}  // namespace suture
