#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/cpu/vectorize.h"

// One element at a time, without branches, for loops that the compiler vectorises.
namespace suture::kernels {

SUTURE_INLINE float bf16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// The exponent is rebased by adding; subnormals are normalised by a float subtraction.
SUTURE_INLINE float f16_to_float(std::uint16_t bits) {
  constexpr std::uint32_t kExponentMask = 0x7C00u << 13, kRebase = 112u << 23;
  std::uint32_t magnitude = (bits & 0x7FFFu) << 13;
  const std::uint32_t exponent = magnitude & kExponentMask;
  magnitude += exponent == kExponentMask ? 2 * kRebase : kRebase;
  const float subnormal = std::bit_cast<float>(magnitude + (1u << 23)) - 0x1p-14f;
  magnitude = exponent == 0 ? std::bit_cast<std::uint32_t>(subnormal) : magnitude;
  return std::bit_cast<float>(magnitude | (bits & 0x8000u) << 16);
}

SUTURE_INLINE std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  return static_cast<std::uint16_t>(is_nan ? bits >> 16 | 0x40u : rounded);
}

SUTURE_INLINE std::uint16_t float_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  // Below the smallest normal, adding 0.5 lines the last f16 bit up with the last float bit.
  const float shifted = std::bit_cast<float>(std::min(magnitude, 0x38800000u)) + 0.5f;
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(shifted) - 0x3F000000u;
  const std::uint32_t normal = (magnitude - (112u << 23) + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
  const std::uint32_t nan = 0x7E00u | (magnitude >> 13 & 0x3FFu);
  std::uint32_t result = magnitude < 0x38800000u ? subnormal : normal;
  result = magnitude >= 0x47800000u ? 0x7C00u : result;
  result = magnitude > 0x7F800000u ? nan : result;
  return static_cast<std::uint16_t>(result | (bits >> 16 & 0x8000u));
}

// Rounds to odd, so that a second rounding to fewer bits gives what one rounding would have given.
SUTURE_INLINE float double_to_float_odd(double value) {
  const auto nearest = static_cast<float>(value);
  const auto back = static_cast<double>(nearest);
  const double magnitude = value < 0 ? -value : value, back_magnitude = back < 0 ? -back : back;
  std::uint32_t bits = std::bit_cast<std::uint32_t>(nearest);
  const std::uint32_t truncated = (bits - (back_magnitude > magnitude ? 1u : 0u)) | 1u;
  const bool inexact = back != value && value == value;
  return std::bit_cast<float>(inexact ? truncated : bits);
}

/// Stored elements of one dtype, and their floats.
struct Bf16 {
  using Stored = std::uint16_t;
  static SUTURE_INLINE float widen(Stored bits) { return bf16_to_float(bits); }
  static SUTURE_INLINE Stored narrow(float value) { return float_to_bf16(value); }
};
struct F16 {
  using Stored = std::uint16_t;
  static SUTURE_INLINE float widen(Stored bits) { return f16_to_float(bits); }
  static SUTURE_INLINE Stored narrow(float value) { return float_to_f16(value); }
};
struct F32 {
  using Stored = std::uint32_t;
  static SUTURE_INLINE float widen(Stored bits) { return std::bit_cast<float>(bits); }
  static SUTURE_INLINE Stored narrow(float value) { return std::bit_cast<Stored>(value); }
};

}  // namespace suture::kernels
