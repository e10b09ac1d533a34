#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "suture/tensor_info.h"

namespace suture::test {

/// A tensor's description, with the counts that follow from its shape.
inline TensorInfo tensor_info(const std::string& name, const std::vector<std::int64_t>& shape,
                              Dtype dtype = Dtype::kBF16) {
  TensorInfo info;
  info.name = name;
  info.dtype = dtype;
  info.shape = shape;
  info.elements = 1;
  for (const std::int64_t size : shape) info.elements *= static_cast<std::uint64_t>(size);
  info.bytes = info.elements * static_cast<std::uint64_t>(bits_of(dtype)) / 8;
  return info;
}

}  // namespace suture::test
