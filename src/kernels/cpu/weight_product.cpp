#include "kernels/weight_product.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/element.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/vectorize.h"

namespace suture::kernels {
namespace {

// The lanes of a sum in one register, or several on older processors.
using Vector = float __attribute__((vector_size(kLanes * sizeof(float))));

template <class Element>
SUTURE_INLINE void widen_lanes(const typename Element::Stored* source, Vector& lanes) {
  float values[kLanes];
  for (std::size_t l = 0; l < kLanes; ++l) values[l] = Element::widen(source[l]);
  std::memcpy(&lanes, values, sizeof lanes);
}

SUTURE_INLINE float sum_of_lanes(const Vector& lanes) {
  float sum = 0;
  for (std::size_t l = 0; l < kLanes; ++l) sum += lanes[l];
  return sum;
}

template <class Element, std::size_t Inputs>
SUTURE_INLINE void multiply_row(const typename Element::Stored* weight, std::size_t columns,
                                const float* inputs, float (&sums)[Inputs]) {
  Vector lanes[Inputs] = {};
  const std::size_t whole = columns - columns % kLanes;
  for (std::size_t c = 0; c < whole; c += kLanes) {
    Vector w;
    widen_lanes<Element>(weight + c, w);
    for (std::size_t i = 0; i < Inputs; ++i) {
      Vector x;
      std::memcpy(&x, inputs + i * columns + c, sizeof x);
      lanes[i] += w * x;
    }
  }
  for (std::size_t i = 0; i < Inputs; ++i) {
    sums[i] = sum_of_lanes(lanes[i]);
    for (std::size_t c = whole; c < columns; ++c)
      sums[i] += Element::widen(weight[c]) * inputs[i * columns + c];
  }
}

template <class Element, std::size_t Inputs>
SUTURE_INLINE void multiply_rows(const LinearLayer& layer, const float* inputs, std::size_t begin,
                                 std::size_t end, float* out, std::size_t out_stride) {
  using Stored = typename Element::Stored;
  const auto* weight = static_cast<const Stored*>(layer.weight);
  const auto* bias = static_cast<const Stored*>(layer.bias);
  for (std::size_t r = begin; r < end; ++r) {
    float sums[Inputs];
    multiply_row<Element, Inputs>(weight + r * layer.columns, layer.columns, inputs, sums);
    const float offset = bias != nullptr ? Element::widen(bias[r]) : 0.0f;
    for (std::size_t i = 0; i < Inputs; ++i) out[i * out_stride + r] = sums[i] + offset;
  }
}

// As many inputs at once as registers hold, then the rest.
template <class Element>
SUTURE_INLINE void multiply(const LinearLayer& layer, const float* inputs, std::size_t count,
                            std::size_t begin, std::size_t end, float* out, std::size_t stride) {
  // Small ranges of rows stay in cache while the inputs pass over them in groups.
  while (count >= 4) {
    multiply_rows<Element, 4>(layer, inputs, begin, end, out, stride);
    inputs += 4 * layer.columns, out += 4 * stride, count -= 4;
  }
  if (count == 3) multiply_rows<Element, 3>(layer, inputs, begin, end, out, stride);
  if (count == 2) multiply_rows<Element, 2>(layer, inputs, begin, end, out, stride);
  if (count == 1) multiply_rows<Element, 1>(layer, inputs, begin, end, out, stride);
}

SUTURE_VECTORIZE
void multiply_bf16(const LinearLayer& layer, const float* inputs, std::size_t count,
                   std::size_t begin, std::size_t end, float* out, std::size_t stride) {
  multiply<Bf16>(layer, inputs, count, begin, end, out, stride);
}

SUTURE_VECTORIZE
void multiply_f16(const LinearLayer& layer, const float* inputs, std::size_t count,
                  std::size_t begin, std::size_t end, float* out, std::size_t stride) {
  multiply<F16>(layer, inputs, count, begin, end, out, stride);
}

SUTURE_VECTORIZE
void multiply_f32(const LinearLayer& layer, const float* inputs, std::size_t count,
                  std::size_t begin, std::size_t end, float* out, std::size_t stride) {
  multiply<F32>(layer, inputs, count, begin, end, out, stride);
}

}  // namespace

void weight_product(const LinearLayer& layer, const float* inputs, std::size_t input_count,
                    std::size_t begin, std::size_t end, float* out, std::size_t out_stride) {
  const auto run = layer.dtype == Dtype::kBF16  ? multiply_bf16
                   : layer.dtype == Dtype::kF16 ? multiply_f16
                                                : multiply_f32;
  constexpr std::size_t kRowsInCache = 16;
  for (std::size_t r = begin; r < end; r += kRowsInCache)
    run(layer, inputs, input_count, r, std::min(end, r + kRowsInCache), out, out_stride);
}

}  // namespace suture::kernels
