#include "kernels/random_normal.h"

#include <cmath>
#include <numbers>

#include "kernels/cpu/stochastic.h"

namespace suture::kernels {
namespace {

struct NormalPair {
  float first, second;
};

NormalPair normal_pair(std::uint64_t key, std::uint64_t counter) {
  const RandomWords words = philox(key, counter);
  // In (0, 1], whose logarithm is finite.
  const float share = (static_cast<float>(words.first) + 1) * 0x1p-32f;
  const float radius = std::sqrt(-2 * std::log(share));
  const float angle = static_cast<float>(words.second) * (0x1p-32f * 2 * std::numbers::pi_v<float>);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace

void random_normal(std::uint64_t key, std::uint64_t first, float* out, std::size_t count) {
  std::size_t done = 0;
  if (count > 0 && first % 2 == 1) out[done++] = normal_pair(key, first / 2).second;
  for (; done < count; done += 2) {
    const NormalPair pair = normal_pair(key, (first + done) / 2);
    out[done] = pair.first;
    if (done + 1 < count) out[done + 1] = pair.second;
  }
}

}  // namespace suture::kernels
