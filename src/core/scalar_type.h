#pragma once

#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/dtype.h"
#include "suture/tensor_info.h"

namespace suture {

/// LibTorch's name for a dtype; none for the 6-bit floats. An element of its 4-bit one is a pair.
std::optional<at::ScalarType> scalar_type_of(Dtype dtype);

/// The dtype of a LibTorch scalar type. Throws UsageError for those that safetensors cannot hold.
Dtype dtype_of(at::ScalarType type);

/// The sizes of a LibTorch tensor for what `info` describes: its shape, of 4-bit floats with pairs
/// in the last dimension. Throws UsageError when that is odd.
std::vector<std::int64_t> sizes_of(const TensorInfo& info);

/// Name, dtype, shape and size of a tensor in memory. Throws UsageError for what `dtype_of`
/// refuses, and for a single pair of 4-bit floats, which has no dimension to count them in.
TensorInfo describe(const std::string& name, const at::Tensor& tensor);

/// The same numbers, detached, dense in row-major order, as memory has them: the tensor's own
/// memory where that is so already, else a copy.
at::Tensor dense(const at::Tensor& tensor);

/// Throws UsageError when the device is not there; loads LibTorch's CUDA library when it is asked
/// for.
void require_device(at::Device device);

}  // namespace suture
