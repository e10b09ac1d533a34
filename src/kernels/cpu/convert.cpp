#include "kernels/convert.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/element.h"
#include "kernels/cpu/vectorize.h"

namespace suture::kernels {
namespace {

constexpr std::size_t kChunk = 1024;

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
