#pragma once

namespace suture {

/// CUDA devices that this machine's driver knows; 0 where there is no driver. Does not load
/// LibTorch.
int cuda_device_count();

}  // namespace suture
