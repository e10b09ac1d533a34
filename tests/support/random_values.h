#pragma once

#include <cstddef>
#include <random>
#include <vector>

namespace suture::test {

/// Numbers around 0, the same for the same seed.
inline std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> values;
  std::vector<float> out(count);
  for (float& value : out) value = values(generator);
  return out;
}

}  // namespace suture::test
