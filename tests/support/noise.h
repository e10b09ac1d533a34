#pragma once

#include <cstdint>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

namespace suture::test {

/// A float32 matrix of normal numbers, the same for the same seed.
inline at::Tensor noise(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn({rows, columns}, generator, at::kFloat);
}

}  // namespace suture::test
