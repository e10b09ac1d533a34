#pragma once

#include <cstddef>
#include <cstdint>

namespace suture::kernels {

/// out[i] = number `first + i` of a sequence of independent standard normal numbers that `key`
/// names: Box and Muller's transform (1958) of the words of Philox4x32-10, a pair of numbers from
/// each counter.
void random_normal(std::uint64_t key, std::uint64_t first, float* out, std::size_t count);

}  // namespace suture::kernels
