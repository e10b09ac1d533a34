#pragma once

// Sums over tensors, lane by lane, in the order of `kernels/cpu/statistics.cpp`: 16 interleaved
// lanes in tiles of 65,536 elements. A device thread is one lane, so the sums have the CPU's bytes.
// Lanes do not talk to each other until all have ended, so a host can play them one after the
// other.

#include "kernels/cuda/convert.h"
#include "kernels/cuda/interface.h"
#include "kernels/cuda/linear_form.h"
#include "kernels/statistics.h"

namespace suture::kernels::cuda {

inline constexpr unsigned kLanes = 16;

/// Elements of a lane whose loads are in flight together.
inline constexpr unsigned kLaneRun = 8;

/// A lane's elements of one tile: at most 4096, so that 16 bits count them.
inline constexpr std::uint64_t kLaneElements = kStatisticsTile / kLanes;

/// Element `first` and every 16th after it.
template <typename T, Dtype kDtype, unsigned kCount>
SUTURE_HOST_DEVICE inline void widen_lane(const void* data, std::uint64_t first, T (&out)[kCount]) {
#if defined(__CUDA_ARCH__)
  __builtin_assume(__isGlobal(data));  // a kernel with shared memory would look there, too
#endif
  const auto* from = static_cast<const typename Element<kDtype>::Bits*>(data) + first;
  typename Element<kDtype>::Bits bits[kCount];
  for (unsigned i = 0; i < kCount; ++i) bits[i] = from[i * kLanes];
  for (unsigned i = 0; i < kCount; ++i) out[i] = Element<kDtype>::template widen<T>(bits[i]);
}

template <typename T, unsigned kCount>
SUTURE_HOST_DEVICE inline void widen_lane_any(Dtype dtype, const void* data, std::uint64_t first,
                                              T (&out)[kCount]) {
  switch (dtype) {
    case Dtype::kBF16:
      return widen_lane<T, Dtype::kBF16>(data, first, out);
    case Dtype::kF16:
      return widen_lane<T, Dtype::kF16>(data, first, out);
    case Dtype::kF64:
      return widen_lane<T, Dtype::kF64>(data, first, out);
    default:
      return widen_lane<T, Dtype::kF32>(data, first, out);
  }
}

template <typename T, unsigned kCount>
SUTURE_HOST_DEVICE inline void evaluate_lane(const Term& term, std::uint64_t first,
                                             T (&value)[kCount]) {
  widen_lane_any(term.minuend_dtype, term.minuend, first, value);
  if (term.subtrahend != nullptr) {
    T subtrahend[kCount];
    widen_lane_any(term.subtrahend_dtype, term.subtrahend, first, subtrahend);
    for (unsigned i = 0; i < kCount; ++i) value[i] = subtract(value[i], subtrahend[i]);
  }
  scale_run(term.scale, value);
}

/// The sum of the terms alone, as `kernels::sum_of_terms`.
template <typename T, unsigned kCount>
SUTURE_HOST_DEVICE inline void sum_lane(const Term* terms, std::uint64_t term_count,
                                        std::uint64_t first, T (&sum)[kCount]) {
  evaluate_lane(terms[0], first, sum);
  for (std::uint64_t k = 1; k < term_count; ++k) {
    T value[kCount];
    evaluate_lane(terms[k], first, value);
    for (unsigned i = 0; i < kCount; ++i) sum[i] = add(sum[i], value[i]);
  }
}

template <typename T>
struct FloatFields;
template <>
struct FloatFields<float> {
  using Bits = std::uint32_t;
  static constexpr Bits kInfinity = 0x7F800000u;
  static constexpr int kMantissaBits = 23, kBias = 127;
};
template <>
struct FloatFields<double> {
  using Bits = std::uint64_t;
  static constexpr Bits kInfinity = 0x7FF0000000000000u;
  static constexpr int kMantissaBits = 52, kBias = 1023;
};

template <typename T>
SUTURE_HOST_DEVICE inline typename FloatFields<T>::Bits magnitude_bits(T value) {
  using Bits = typename FloatFields<T>::Bits;
  return bits_as<Bits>(value) & ~(Bits{1} << (8 * sizeof(T) - 1));
}

template <typename T>
SUTURE_HOST_DEVICE inline bool is_finite(T value) {
  return magnitude_bits(value) < FloatFields<T>::kInfinity;
}

/// The histogram's bin of a finite magnitude that is not zero.
template <typename T>
SUTURE_HOST_DEVICE inline unsigned bin_of(typename FloatFields<T>::Bits magnitude) {
  constexpr int kFirst = FloatFields<T>::kBias + kFirstExponent;
  constexpr int kLast = static_cast<int>(kHistogramBins) - 1;
  const int bin = static_cast<int>(magnitude >> FloatFields<T>::kMantissaBits) - kFirst;
  return static_cast<unsigned>(bin < 0 ? 0 : bin > kLast ? kLast : bin);
}

/// What one lane of one tile holds. `max_bits` is the largest magnitude as the bits of a double.
struct ValueLane {
  double squares = 0;
  std::uint32_t non_zero = 0;
  std::uint32_t non_finite = 0;
  std::uint64_t max_bits = 0;
};

/// Takes one value in. Bin b is counted in `bins[b * stride]`.
template <typename T>
SUTURE_HOST_DEVICE inline void take_value(T value, ValueLane& lane, std::uint16_t* bins,
                                          unsigned stride) {
  const auto magnitude = magnitude_bits(value);
  if (magnitude >= FloatFields<T>::kInfinity) {
    ++lane.non_finite;
    return;
  }
  if (magnitude == 0) return;
  ++lane.non_zero;
  const auto wide = static_cast<double>(value);
  lane.squares = add(lane.squares, multiply(wide, wide));
  const auto bits = magnitude_bits(wide);
  if (bits > lane.max_bits) lane.max_bits = bits;
  ++bins[bin_of<T>(magnitude) * stride];
}

/// What one lane of one tile of a pair holds.
struct PairLane {
  double dot = 0;
  std::uint32_t both_non_zero = 0;
  std::uint32_t same_sign = 0;
  std::uint32_t first_positive = 0;
  std::uint32_t second_positive = 0;
};

/// Takes one pair in. What is left out adds a zero to the dot product, which changes no bit of it.
template <typename T>
SUTURE_HOST_DEVICE inline void take_pair(T first, T second, PairLane& lane) {
  const bool finite = is_finite(first) && is_finite(second);
  if (!finite || magnitude_bits(first) == 0 || magnitude_bits(second) == 0) return;
  lane.dot = add(lane.dot, multiply(static_cast<double>(first), static_cast<double>(second)));
  ++lane.both_non_zero;
  if ((first > 0) == (second > 0)) ++lane.same_sign;
  if (first > 0) ++lane.first_positive;
  if (second > 0) ++lane.second_positive;
}

/// The elements of lane `lane` in tile `tile`: `visit(index, counter)` with a run of `kLaneRun` of
/// them (counter.count is kLaneRun) or a single one, in order.
template <unsigned kCount>
struct RunOf {
  static constexpr unsigned count = kCount;
};
template <typename Visitor>
SUTURE_HOST_DEVICE inline void for_each_run(std::uint64_t elements, std::uint64_t tile,
                                            unsigned lane, Visitor&& visit) {
  const std::uint64_t begin = tile * kStatisticsTile, left = elements - begin;
  const std::uint64_t end = begin + (left < kStatisticsTile ? left : kStatisticsTile);
  std::uint64_t i = begin + lane;
  for (; i + (kLaneRun - 1) * kLanes < end; i += std::uint64_t{kLaneRun} * kLanes) {
    visit(i, RunOf<kLaneRun>());
  }
  for (; i < end; i += kLanes) visit(i, RunOf<1>());
}

/// Lane `lane` of tile `tile` of a measurement; `terms` is the call's term list.
template <typename T>
SUTURE_HOST_DEVICE inline ValueLane measure_value_lane(const Measurement& measurement,
                                                       const Term* terms, std::uint64_t tile,
                                                       unsigned lane, std::uint16_t* bins,
                                                       unsigned stride) {
  ValueLane found;
  for_each_run(measurement.count, tile, lane, [&](std::uint64_t first, auto run) {
    T values[decltype(run)::count];
    sum_lane(terms + measurement.first.first, measurement.first.count, first, values);
    for (const T value : values) take_value(value, found, bins, stride);
  });
  return found;
}

template <typename T>
SUTURE_HOST_DEVICE inline PairLane measure_pair_lane(const Measurement& measurement,
                                                     const Term* terms, std::uint64_t tile,
                                                     unsigned lane) {
  PairLane found;
  for_each_run(measurement.count, tile, lane, [&](std::uint64_t first, auto run) {
    constexpr unsigned kCount = decltype(run)::count;
    T a[kCount], b[kCount];
    sum_lane(terms + measurement.first.first, measurement.first.count, first, a);
    sum_lane(terms + measurement.second.first, measurement.second.count, first, b);
    for (unsigned i = 0; i < kCount; ++i) take_pair(a[i], b[i], found);
  });
  return found;
}

}  // namespace suture::kernels::cuda
