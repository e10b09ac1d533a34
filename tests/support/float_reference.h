#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "suture/dtype.h"

namespace suture::test {

/// A binary floating-point format by its parts: what IEEE 754 says, with nothing clever.
struct FloatFormat {
  int mantissa_bits, min_exponent, max_exponent;
};

inline FloatFormat format_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::kBF16:
      return {7, -126, 127};
    case Dtype::kF16:
      return {10, -14, 15};
    case Dtype::kF32:
      return {23, -126, 127};
    default:
      return {52, -1022, 1023};
  }
}

/// The value of a bit pattern; NaN for every NaN.
inline double decode(Dtype dtype, std::uint64_t bits) {
  const FloatFormat format = format_of(dtype);
  const int width = bits_of(dtype), exponent_bits = width - 1 - format.mantissa_bits;
  const std::uint64_t mantissa = bits & ((std::uint64_t{1} << format.mantissa_bits) - 1);
  const std::uint64_t field =
      bits >> format.mantissa_bits & ((std::uint64_t{1} << exponent_bits) - 1);
  const double sign = bits >> (width - 1) & 1 ? -1 : 1;
  if (field == (std::uint64_t{1} << exponent_bits) - 1) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  const double fraction = std::ldexp(static_cast<double>(mantissa), -format.mantissa_bits);
  return field == 0
             ? sign * std::ldexp(fraction, format.min_exponent)
             : sign * std::ldexp(1 + fraction, format.min_exponent + static_cast<int>(field) - 1);
}

/// The bit pattern nearest to `value`, ties to even, in one rounding. NaN gives one quiet NaN.
inline std::uint64_t encode(Dtype dtype, double value) {
  const FloatFormat format = format_of(dtype);
  const int width = bits_of(dtype);
  const std::uint64_t sign = std::uint64_t{std::signbit(value)} << (width - 1);
  const auto all_exponent =
      static_cast<std::uint64_t>(format.max_exponent - format.min_exponent + 2);
  const std::uint64_t infinity = all_exponent << format.mantissa_bits;
  if (std::isnan(value)) return infinity | std::uint64_t{1} << (format.mantissa_bits - 1);
  const double magnitude = std::abs(value);
  if (std::isinf(magnitude)) return sign | infinity;
  if (magnitude == 0) return sign;
  const int exponent = std::max(std::ilogb(magnitude), format.min_exponent);
  // In units of the last place; the carry of a rounding up runs into the exponent by itself.
  const double units = std::nearbyint(std::ldexp(magnitude, format.mantissa_bits - exponent));
  const std::uint64_t bits =
      (static_cast<std::uint64_t>(exponent - format.min_exponent) << format.mantissa_bits) +
      static_cast<std::uint64_t>(units);
  return sign | std::min(bits, infinity);
}

/// Element `i` of stored data as its bits.
inline std::uint64_t stored_bits(Dtype dtype, const void* data, std::size_t i) {
  const auto width = static_cast<std::size_t>(bytes_of(dtype));
  std::uint64_t bits = 0;
  std::memcpy(&bits, static_cast<const char*>(data) + i * width, width);
  return bits;
}

/// Bit patterns as stored data.
inline std::string stored_bytes(Dtype dtype, const std::vector<std::uint64_t>& patterns) {
  const auto width = static_cast<std::size_t>(bytes_of(dtype));
  std::string bytes(patterns.size() * width, '\0');
  for (std::size_t i = 0; i < patterns.size(); ++i)
    std::memcpy(bytes.data() + i * width, &patterns[i], width);
  return bytes;
}

/// Values rounded to stored data.
inline std::string stored_values(Dtype dtype, const std::vector<double>& values) {
  std::vector<std::uint64_t> patterns;
  for (const double value : values) patterns.push_back(encode(dtype, value));
  return stored_bytes(dtype, patterns);
}

inline constexpr Dtype kComputableDtypes[] = {Dtype::kBF16, Dtype::kF16, Dtype::kF32, Dtype::kF64};

}  // namespace suture::test
