#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/element.h"

namespace suture::kernels {

/// Two random words of an element.
struct RandomWords {
  std::uint32_t first, second;
};

/// Philox4x32-10 (Salmon et al., 2011), a function of key and counter alone: words 0 and 1.
SUTURE_INLINE RandomWords philox(std::uint64_t key, std::uint64_t counter) {
  auto c0 = static_cast<std::uint32_t>(counter), c1 = static_cast<std::uint32_t>(counter >> 32);
  std::uint32_t c2 = 0, c3 = 0;
  auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0;
    c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(b);
    c3 = static_cast<std::uint32_t>(a);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1};
}

// Random bits are added below the last place that is kept: what carries goes up. Infinity is
// nobody's neighbour: it is given only where rounding to nearest gives it.
SUTURE_INLINE std::uint16_t float_to_bf16_stochastic(float value, std::uint32_t random) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto rounded = static_cast<std::uint16_t>((bits + (random >> 16)) >> 16);
  const bool stays_finite = (rounded & 0x7FFFu) < 0x7F80u;
  return (bits & 0x7FFFFFFFu) < 0x7F800000u && stays_finite ? rounded : float_to_bf16(value);
}

SUTURE_INLINE std::uint16_t float_to_f16_stochastic(float value, std::uint32_t random) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  const std::uint32_t normal = (magnitude - (112u << 23) + (random >> 19)) >> 13;
  // In units of the last place of a subnormal: a whole part, and a share that decides.
  const float units = std::bit_cast<float>(std::min(magnitude, 0x38800000u)) * 0x1p24f;
  const auto whole = static_cast<std::int32_t>(units);
  const float share = units - static_cast<float>(whole);
  const float drawn = static_cast<float>(static_cast<std::int32_t>(random >> 8)) * 0x1p-24f;
  const std::uint32_t subnormal = static_cast<std::uint32_t>(whole) + (drawn < share ? 1u : 0u);
  const std::uint32_t rounded = magnitude < 0x38800000u ? subnormal : normal;
  return magnitude < 0x47800000u && rounded < 0x7C00u
             ? static_cast<std::uint16_t>(rounded | (bits >> 16 & 0x8000u))
             : float_to_f16(value);
}

// To the nearest float, or to the one on the other side of the value.
SUTURE_INLINE float double_to_float_stochastic(double value, std::uint32_t random) {
  const auto nearest = static_cast<float>(value);
  const double rest = value - static_cast<double>(nearest);
  if (!(std::abs(rest) > 0) || std::isinf(nearest)) return nearest;  // exact, or not finite
  const bool outward = std::signbit(rest) == std::signbit(value);
  const float other =
      std::bit_cast<float>(std::bit_cast<std::uint32_t>(nearest) + (outward ? 1u : ~0u));
  const double gap = static_cast<double>(other) - static_cast<double>(nearest);
  const double drawn = static_cast<double>(random) * 0x1p-32;
  return drawn * std::abs(gap) < std::abs(rest) ? other : nearest;
}

}  // namespace suture::kernels
