#pragma once

#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

#include "suture/dtype.h"
#include "suture/tensor_info.h"

namespace suture {

/// LibTorch's name for a dtype; none for the 4- and 6-bit floats.
std::optional<at::ScalarType> scalar_type_of(Dtype dtype);

/// The dtype of a LibTorch scalar type. Throws UsageError for those that safetensors cannot hold.
Dtype dtype_of(at::ScalarType type);

/// Name, dtype, shape and size of a tensor in memory.
TensorInfo describe(const std::string& name, const at::Tensor& tensor);

/// Throws UsageError when the device is not there; loads LibTorch's CUDA library when it is asked
/// for.
void require_device(at::Device device);

}  // namespace suture
