#include "kernels/statistics.h"

#include <algorithm>
#include <bit>

#include "kernels/cpu/vectorize.h"

namespace suture::kernels {
namespace {

// Sums run in this many interleaved lanes whatever the instruction set, so their bytes never depend
// on it.
constexpr std::size_t kLanes = 16;

template <typename T>
T finite_or_zero(T value) {
  return value - value == 0 ? value : T{0};
}

double combine(const double* lanes) {
  double sum = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  return sum;
}

// Calls body(index, lane) for every element, lane by lane in fixed order.
template <typename Body>
inline __attribute__((always_inline)) void for_each_in_lanes(std::size_t count, Body body) {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) body(i + lane, lane);
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) body(i, lane);
}

template <typename T>
inline __attribute__((always_inline)) double sum_of_squares_in(const T* values, std::size_t count) {
  double lanes[kLanes] = {};
  for_each_in_lanes(count, [&](std::size_t i, std::size_t lane) {
    const double value = finite_or_zero(values[i]);
    lanes[lane] += value * value;
  });
  return combine(lanes);
}

struct Extent {
  double max_magnitude = 0;
  std::uint64_t non_zero = 0, non_finite = 0;
};

template <typename T>
inline __attribute__((always_inline)) Extent extent_in(const T* values, std::size_t count) {
  T largest[kLanes] = {};
  std::uint32_t non_zero[kLanes] = {}, non_finite[kLanes] = {};
  for_each_in_lanes(count, [&](std::size_t i, std::size_t lane) {
    const T value = finite_or_zero(values[i]);
    const T magnitude = value < 0 ? -value : value;
    largest[lane] = magnitude > largest[lane] ? magnitude : largest[lane];
    non_zero[lane] += value != 0;
    non_finite[lane] += !(values[i] - values[i] == 0);
  });
  Extent extent;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    extent.max_magnitude = std::max(extent.max_magnitude, static_cast<double>(largest[lane]));
    extent.non_zero += non_zero[lane];
    extent.non_finite += non_finite[lane];
  }
  return extent;
}

template <typename T>
inline __attribute__((always_inline)) PairStatistics pair_in(const T* first, const T* second,
                                                             std::size_t count) {
  double dot[kLanes] = {};
  std::uint32_t both[kLanes] = {}, same[kLanes] = {}, a_up[kLanes] = {}, b_up[kLanes] = {};
  for_each_in_lanes(count, [&](std::size_t i, std::size_t lane) {
    const bool finite = first[i] - first[i] == 0 && second[i] - second[i] == 0;
    const T a = finite ? first[i] : T{0}, b = finite ? second[i] : T{0};
    dot[lane] += static_cast<double>(a) * static_cast<double>(b);
    const bool counted = (a != 0) & (b != 0);
    both[lane] += counted;
    same[lane] += counted & ((a > 0) == (b > 0));
    a_up[lane] += counted & (a > 0);
    b_up[lane] += counted & (b > 0);
  });
  PairStatistics result;
  result.dot = combine(dot);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    result.both_non_zero += both[lane];
    result.same_sign += same[lane];
    result.first_positive += a_up[lane];
    result.second_positive += b_up[lane];
  }
  return result;
}

SUTURE_VECTORIZE double squares(const float* v, std::size_t n) { return sum_of_squares_in(v, n); }
SUTURE_VECTORIZE double squares(const double* v, std::size_t n) { return sum_of_squares_in(v, n); }
SUTURE_VECTORIZE Extent extent(const float* v, std::size_t n) { return extent_in(v, n); }
SUTURE_VECTORIZE Extent extent(const double* v, std::size_t n) { return extent_in(v, n); }
SUTURE_VECTORIZE PairStatistics pair(const float* a, const float* b, std::size_t n) {
  return pair_in(a, b, n);
}
SUTURE_VECTORIZE PairStatistics pair(const double* a, const double* b, std::size_t n) {
  return pair_in(a, b, n);
}

// Raw exponent field: 0 for zero, all ones for NaN and infinity.
std::uint32_t exponent_field(float value) {
  return std::bit_cast<std::uint32_t>(value) >> 23 & 0xFF;
}
std::uint32_t exponent_field(double value) {
  return static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(value) >> 52 & 0x7FF);
}

template <typename T>
void count_magnitudes(const T* values, std::size_t count,
                      std::array<std::uint64_t, kHistogramBins>& histogram) {
  constexpr int kBias = sizeof(T) == 4 ? 127 : 1023;
  constexpr std::size_t kFields = sizeof(T) == 4 ? 256 : 2048;
  // Several tables, since runs of equal exponents (mostly zeros) would wait on one counter.
  constexpr std::size_t kTables = 4;
  static thread_local std::uint32_t counts[kTables][kFields];
  std::fill_n(&counts[0][0], kTables * kFields, 0u);
  std::size_t zeros = 0;
  for (std::size_t i = 0; i < count; ++i) {
    ++counts[i % kTables][exponent_field(values[i])];
    zeros += values[i] == 0;
  }
  for (std::size_t field = 0; field + 1 < kFields; ++field) {
    std::uint64_t total = 0;
    for (const auto& table : counts) total += table[field];
    if (field == 0) total -= zeros;  // what is left are subnormals
    const int bin = static_cast<int>(field) - kBias - kFirstExponent;
    histogram[static_cast<std::size_t>(std::clamp(bin, 0, static_cast<int>(kHistogramBins) - 1))] +=
        total;
  }
}

template <typename T>
ValueStatistics measure(const T* values, std::size_t count) {
  ValueStatistics result;
  const Extent found = extent(values, count);
  result.count = count;
  result.non_zero = found.non_zero;
  result.non_finite = found.non_finite;
  result.max_magnitude = found.max_magnitude;
  result.sum_of_squares = squares(values, count);
  count_magnitudes(values, count, result.histogram);
  return result;
}

}  // namespace

void ValueStatistics::append(const ValueStatistics& next) {
  count += next.count;
  non_zero += next.non_zero;
  non_finite += next.non_finite;
  sum_of_squares += next.sum_of_squares;
  max_magnitude = std::max(max_magnitude, next.max_magnitude);
  for (std::size_t i = 0; i < kHistogramBins; ++i) histogram[i] += next.histogram[i];
}

void PairStatistics::append(const PairStatistics& next) {
  dot += next.dot;
  both_non_zero += next.both_non_zero;
  same_sign += next.same_sign;
  first_positive += next.first_positive;
  second_positive += next.second_positive;
}

ValueStatistics measure_values(const float* values, std::size_t count) {
  return measure(values, count);
}
ValueStatistics measure_values(const double* values, std::size_t count) {
  return measure(values, count);
}
PairStatistics measure_pair(const float* first, const float* second, std::size_t count) {
  return pair(first, second, count);
}
PairStatistics measure_pair(const double* first, const double* second, std::size_t count) {
  return pair(first, second, count);
}
double sum_of_squares(const float* values, std::size_t count) { return squares(values, count); }
double sum_of_squares(const double* values, std::size_t count) { return squares(values, count); }

}  // namespace suture::kernels
