#include "kernels/convert.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/vectorize.h"

namespace suture::kernels {
namespace {

constexpr std::size_t kChunk = 1024;

float bf16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// The exponent is rebased by adding; subnormals are normalised by a float subtraction.
float f16_to_float(std::uint16_t bits) {
  constexpr std::uint32_t kExponentMask = 0x7C00u << 13, kRebase = 112u << 23;
  std::uint32_t magnitude = (bits & 0x7FFFu) << 13;
  const std::uint32_t exponent = magnitude & kExponentMask;
  magnitude += exponent == kExponentMask ? 2 * kRebase : kRebase;
  const float subnormal = std::bit_cast<float>(magnitude + (1u << 23)) - 0x1p-14f;
  magnitude = exponent == 0 ? std::bit_cast<std::uint32_t>(subnormal) : magnitude;
  return std::bit_cast<float>(magnitude | (bits & 0x8000u) << 16);
}

std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  return static_cast<std::uint16_t>(is_nan ? bits >> 16 | 0x40u : rounded);
}

std::uint16_t float_to_f16(float value) {
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
float double_to_float_odd(double value) {
  const auto nearest = static_cast<float>(value);
  const auto back = static_cast<double>(nearest);
  const double magnitude = value < 0 ? -value : value, back_magnitude = back < 0 ? -back : back;
  std::uint32_t bits = std::bit_cast<std::uint32_t>(nearest);
  const std::uint32_t truncated = (bits - (back_magnitude > magnitude ? 1u : 0u)) | 1u;
  const bool inexact = back != value && value == value;
  return std::bit_cast<float>(inexact ? truncated : bits);
}

SUTURE_VECTORIZE void widen_bf16(const std::uint16_t* source, float* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = bf16_to_float(source[i]);
}

SUTURE_VECTORIZE void widen_f16(const std::uint16_t* source, float* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = f16_to_float(source[i]);
}

SUTURE_VECTORIZE void widen_float(const float* source, double* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<double>(source[i]);
}

SUTURE_VECTORIZE void narrow_bf16(const float* values, std::uint16_t* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = float_to_bf16(values[i]);
}

SUTURE_VECTORIZE void narrow_f16(const float* values, std::uint16_t* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = float_to_f16(values[i]);
}

SUTURE_VECTORIZE void narrow_to_float(const double* values, float* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(values[i]);
}

SUTURE_VECTORIZE void narrow_to_odd(const double* values, float* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = double_to_float_odd(values[i]);
}

// memcpy may not be given null, which is what an empty tensor has.
void copy(const void* from, void* to, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

// Applies `convert(first, count)` chunk by chunk, so that the float in between stays in cache.
template <typename Convert>
void in_chunks(std::size_t count, Convert convert) {
  for (std::size_t first = 0; first < count; first += kChunk) {
    convert(first, std::min(kChunk, count - first));
  }
}

}  // namespace

void widen(Dtype dtype, const void* source, float* out, std::size_t count) {
  switch (dtype) {
    case Dtype::kBF16:
      return widen_bf16(static_cast<const std::uint16_t*>(source), out, count);
    case Dtype::kF16:
      return widen_f16(static_cast<const std::uint16_t*>(source), out, count);
    default:
      copy(source, out, count * sizeof(float));
  }
}

void widen(Dtype dtype, const void* source, double* out, std::size_t count) {
  if (dtype == Dtype::kF64) {
    copy(source, out, count * sizeof(double));
    return;
  }
  if (dtype == Dtype::kF32) return widen_float(static_cast<const float*>(source), out, count);
  in_chunks(count, [&](std::size_t first, std::size_t length) {
    float buffer[kChunk];
    widen(dtype, static_cast<const std::uint16_t*>(source) + first, buffer, length);
    widen_float(buffer, out + first, length);
  });
}

void narrow(Dtype dtype, const float* values, void* out, std::size_t count) {
  switch (dtype) {
    case Dtype::kBF16:
      return narrow_bf16(values, static_cast<std::uint16_t*>(out), count);
    case Dtype::kF16:
      return narrow_f16(values, static_cast<std::uint16_t*>(out), count);
    case Dtype::kF64:
      return widen_float(values, static_cast<double*>(out), count);
    default:
      copy(values, out, count * sizeof(float));
  }
}

void narrow(Dtype dtype, const double* values, void* out, std::size_t count) {
  if (dtype == Dtype::kF64) {
    copy(values, out, count * sizeof(double));
    return;
  }
  if (dtype == Dtype::kF32) return narrow_to_float(values, static_cast<float*>(out), count);
  in_chunks(count, [&](std::size_t first, std::size_t length) {
    float buffer[kChunk];
    narrow_to_odd(values + first, buffer, length);
    narrow(dtype, buffer, static_cast<std::uint16_t*>(out) + first, length);
  });
}

}  // namespace suture::kernels
