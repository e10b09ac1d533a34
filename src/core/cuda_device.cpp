#include "core/cuda_device.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace suture {

const kernels::CudaBackend& ResidentMachine::backend() const {
  return played != nullptr ? *played : kernels::cuda_backend();
}

std::string ResidentMachine::missing(c10::Device device) const {
  const c10::DeviceGuard guard(device);
  return kernels::why_no_cuda_kernels(device.is_cpu() ? 0 : device.index(), backend());
}

// Through the registry that LibTorch's CUDA library enters itself into, so that it is not linked.
c10::Stream current_stream(c10::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

kernels::CudaStream kernel_stream(const c10::Stream& stream) {
  if (stream.device_type() == c10::DeviceType::CPU) return {};
  return {stream.device_index(), stream.native_handle()};
}

}  // namespace suture
