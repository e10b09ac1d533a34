#pragma once

// Elements in registers: what widening, arithmetic and narrowing mean, one element at a time.
// Compiled for the device by nvcc and for the host by any C++ compiler, so that the same functions
// can be held to the CPU kernels bit for bit where there is no GPU.

#include <cstdint>
#include <cstring>

#include "suture/dtype.h"

#if defined(__CUDACC__)
#define SUTURE_HOST_DEVICE __host__ __device__
#else
#define SUTURE_HOST_DEVICE
#endif

namespace suture::kernels::cuda {

template <typename To, typename From>
SUTURE_HOST_DEVICE inline To bits_as(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To result;
  memcpy(&result, &value, sizeof result);
  return result;
}

// Each operation rounds on its own, to nearest even: the intrinsics are never fused with a
// neighbour.
#if defined(__CUDA_ARCH__)
__device__ inline float add(float a, float b) { return __fadd_rn(a, b); }
__device__ inline double add(double a, double b) { return __dadd_rn(a, b); }
__device__ inline float subtract(float a, float b) { return __fsub_rn(a, b); }
__device__ inline double subtract(double a, double b) { return __dsub_rn(a, b); }
__device__ inline float multiply(float a, float b) { return __fmul_rn(a, b); }
__device__ inline double multiply(double a, double b) { return __dmul_rn(a, b); }
#else
template <typename T>
SUTURE_HOST_DEVICE inline T add(T a, T b) {
  return a + b;
}
template <typename T>
SUTURE_HOST_DEVICE inline T subtract(T a, T b) {
  return a - b;
}
template <typename T>
SUTURE_HOST_DEVICE inline T multiply(T a, T b) {
  return a * b;
}
#endif

SUTURE_HOST_DEVICE inline float widen_bf16(std::uint16_t bits) {
  return bits_as<float>(static_cast<std::uint32_t>(bits) << 16);
}

// The f16 fields read as a float are too small by 2^112; a product with it is exact, subnormals
// too.
SUTURE_HOST_DEVICE inline float widen_f16(std::uint16_t bits) {
  const std::uint32_t fields = (bits & 0x7FFFu) << 13;
  std::uint32_t wide = bits_as<std::uint32_t>(multiply(bits_as<float>(fields), 0x1p112f));
  if (fields >= 0x0F800000u) wide = fields | 0x7F800000u;  // infinity and NaN
  return bits_as<float>(wide | (bits & 0x8000u) << 16);
}

SUTURE_HOST_DEVICE inline std::uint16_t narrow_bf16(float value) {
  const auto bits = bits_as<std::uint32_t>(value);
  if (value != value) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

// Below the smallest normal, adding 0.5 lines the last f16 bit up with the last bit of the float.
SUTURE_HOST_DEVICE inline std::uint16_t narrow_f16(float value) {
  const auto bits = bits_as<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu, sign = bits >> 16 & 0x8000u;
  std::uint32_t half;
  if (magnitude > 0x7F800000u) {
    half = 0x7E00u | (magnitude >> 13 & 0x3FFu);
  } else if (magnitude >= 0x47800000u) {  // 65536 and beyond; from 65520 on, rounding gets there
    half = 0x7C00u;
  } else if (magnitude < 0x38800000u) {
    half = bits_as<std::uint32_t>(add(bits_as<float>(magnitude), 0.5f)) - 0x3F000000u;
  } else {
    half = (magnitude - (112u << 23) + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
  }
  return static_cast<std::uint16_t>(half | sign);
}

// Rounds to odd, so that a second rounding to fewer bits gives what one rounding would have given.
SUTURE_HOST_DEVICE inline float narrow_to_odd(double value) {
  const auto nearest = static_cast<float>(value);
  const auto back = static_cast<double>(nearest);
  if (back == value || value != value) return nearest;
  const double magnitude = value < 0 ? -value : value, rounded = back < 0 ? -back : back;
  const std::uint32_t truncated = bits_as<std::uint32_t>(nearest) - (rounded > magnitude ? 1u : 0u);
  return bits_as<float>(truncated | 1u);
}

/// How one of the four computable dtypes is stored, widened and narrowed.
template <Dtype kDtype>
struct Element;

template <>
struct Element<Dtype::kBF16> {
  using Bits = std::uint16_t;
  template <typename T>
  SUTURE_HOST_DEVICE static T widen(Bits bits) {
    return static_cast<T>(widen_bf16(bits));
  }
  SUTURE_HOST_DEVICE static Bits narrow(float value) { return narrow_bf16(value); }
  SUTURE_HOST_DEVICE static Bits narrow(double value) { return narrow_bf16(narrow_to_odd(value)); }
};

template <>
struct Element<Dtype::kF16> {
  using Bits = std::uint16_t;
  template <typename T>
  SUTURE_HOST_DEVICE static T widen(Bits bits) {
    return static_cast<T>(widen_f16(bits));
  }
  SUTURE_HOST_DEVICE static Bits narrow(float value) { return narrow_f16(value); }
  SUTURE_HOST_DEVICE static Bits narrow(double value) { return narrow_f16(narrow_to_odd(value)); }
};

template <>
struct Element<Dtype::kF32> {
  using Bits = std::uint32_t;
  template <typename T>
  SUTURE_HOST_DEVICE static T widen(Bits bits) {
    return static_cast<T>(bits_as<float>(bits));
  }
  SUTURE_HOST_DEVICE static Bits narrow(float value) { return bits_as<Bits>(value); }
  SUTURE_HOST_DEVICE static Bits narrow(double value) {
    return bits_as<Bits>(static_cast<float>(value));
  }
};

template <>
struct Element<Dtype::kF64> {
  using Bits = std::uint64_t;
  template <typename T>
  SUTURE_HOST_DEVICE static T widen(Bits bits) {
    return static_cast<T>(bits_as<double>(bits));
  }
  SUTURE_HOST_DEVICE static Bits narrow(double value) { return bits_as<Bits>(value); }
};

/// What one instruction moves at most.
struct __attribute__((aligned(16), may_alias)) Words {
  std::uint32_t word[4];
};

/// Reads `kCount` elements from `first` on. Eight of them are read 16 bytes at a time, from an
/// address that is a multiple of 16.
template <typename Bits, unsigned kCount>
SUTURE_HOST_DEVICE inline void load(const void* data, std::uint64_t first, Bits (&out)[kCount]) {
  const Bits* from = static_cast<const Bits*>(data) + first;
  if constexpr (kCount == 1) {
    out[0] = *from;
  } else {
    constexpr unsigned kWords = kCount * sizeof(Bits) / sizeof(Words);
    Words words[kWords];
    for (unsigned i = 0; i < kWords; ++i) words[i] = reinterpret_cast<const Words*>(from)[i];
    memcpy(out, words, sizeof words);
  }
}

/// The counterpart of `load`.
template <typename Bits, unsigned kCount>
SUTURE_HOST_DEVICE inline void store(void* data, std::uint64_t first, const Bits (&in)[kCount]) {
  Bits* to = static_cast<Bits*>(data) + first;
  if constexpr (kCount == 1) {
    *to = in[0];
  } else {
    constexpr unsigned kWords = kCount * sizeof(Bits) / sizeof(Words);
    Words words[kWords];
    memcpy(words, in, sizeof words);
    for (unsigned i = 0; i < kWords; ++i) reinterpret_cast<Words*>(to)[i] = words[i];
  }
}

}  // namespace suture::kernels::cuda
