#include "kernels/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "kernels/cpu/vectorize.h"

namespace suture::kernels {
namespace {

// Sums run in this many interleaved lanes whatever the instruction set, so their bytes never depend
// on it.
constexpr std::size_t kLanes = 16;

#define SUTURE_INLINE inline __attribute__((always_inline))

template <typename T>
struct BitsOf;
template <>
struct BitsOf<float> {
  using Type = std::uint32_t;
  static constexpr Type kExponent = 0x7F800000u;
  static constexpr int kMantissaBits = 23, kBias = 127;
  static constexpr std::size_t kFields = 256;
};
template <>
struct BitsOf<double> {
  using Type = std::uint64_t;
  static constexpr Type kExponent = 0x7FF0000000000000u;
  static constexpr int kMantissaBits = 52, kBias = 1023;
  static constexpr std::size_t kFields = 2048;
};

// What integer arithmetic on the bits tells; integer reductions vectorise where float ones may not
// be reordered.
struct Extent {
  double max_magnitude = 0;  // of all finite values
  std::uint64_t non_zero = 0, non_finite = 0;
};

template <typename T>
SUTURE_INLINE Extent extent_in(const T* values, std::size_t count) {
  using Bits = typename BitsOf<T>::Type;
  Bits largest = 0, non_zero = 0, non_finite = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Bits magnitude = std::bit_cast<Bits>(values[i]) & ~(Bits{1} << (8 * sizeof(T) - 1));
    const Bits is_non_finite = magnitude >= BitsOf<T>::kExponent ? 1 : 0;
    const Bits finite_magnitude = is_non_finite ? 0 : magnitude;
    largest = finite_magnitude > largest ? finite_magnitude : largest;
    non_zero += finite_magnitude != 0 ? 1 : 0;
    non_finite += is_non_finite;
  }
  return {static_cast<double>(std::bit_cast<T>(largest)), non_zero, non_finite};
}

// Finite values only: the caller has replaced the others by zero.
template <typename T>
SUTURE_INLINE double squares_in(const T* values, std::size_t count) {
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const auto value = static_cast<double>(values[i + lane]);
      lanes[lane] += value * value;
    }
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) {
    lanes[lane] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

template <typename T>
SUTURE_INLINE double dot_in(const T* first, const T* second, std::size_t count) {
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += static_cast<double>(first[i + lane]) * static_cast<double>(second[i + lane]);
    }
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) {
    lanes[lane] += static_cast<double>(first[i]) * static_cast<double>(second[i]);
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

// Everything of a pair but the dot product.
template <typename T>
SUTURE_INLINE PairStatistics signs_in(const T* first, const T* second, std::size_t count) {
  using Bits = typename BitsOf<T>::Type;
  constexpr int kSign = 8 * sizeof(T) - 1;
  Bits both = 0, same = 0, first_up = 0, second_up = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Bits a = std::bit_cast<Bits>(first[i]), b = std::bit_cast<Bits>(second[i]);
    const Bits counted = ((a << 1) != 0 ? Bits{1} : Bits{0}) & ((b << 1) != 0 ? Bits{1} : Bits{0});
    both += counted;
    same += counted & ~((a ^ b) >> kSign);
    first_up += counted & ~(a >> kSign);
    second_up += counted & ~(b >> kSign);
  }
  return {0, both, same, first_up, second_up};
}

SUTURE_VECTORIZE Extent extent(const float* v, std::size_t n) { return extent_in(v, n); }
SUTURE_VECTORIZE Extent extent(const double* v, std::size_t n) { return extent_in(v, n); }
SUTURE_VECTORIZE double squares(const float* v, std::size_t n) { return squares_in(v, n); }
SUTURE_VECTORIZE double squares(const double* v, std::size_t n) { return squares_in(v, n); }
SUTURE_VECTORIZE double dot(const float* a, const float* b, std::size_t n) {
  return dot_in(a, b, n);
}
SUTURE_VECTORIZE double dot(const double* a, const double* b, std::size_t n) {
  return dot_in(a, b, n);
}
SUTURE_VECTORIZE PairStatistics signs(const float* a, const float* b, std::size_t n) {
  return signs_in(a, b, n);
}
SUTURE_VECTORIZE PairStatistics signs(const double* a, const double* b, std::size_t n) {
  return signs_in(a, b, n);
}

template <typename T>
void count_magnitudes(const T* values, std::size_t count, std::uint64_t zeros,
                      std::array<std::uint64_t, kHistogramBins>& histogram) {
  using Bits = typename BitsOf<T>::Type;
  constexpr std::size_t kFields = BitsOf<T>::kFields;
  // Several tables, since runs of equal exponents (mostly zeros) would wait on one counter.
  constexpr std::size_t kTables = 4;
  static thread_local std::uint32_t counts[kTables][kFields];
  std::fill_n(&counts[0][0], kTables * kFields, 0u);
  const auto field_of = [](T value) {
    return static_cast<std::size_t>(std::bit_cast<Bits>(value) >> BitsOf<T>::kMantissaBits) &
           (kFields - 1);
  };
  std::size_t i = 0;
  for (; i + kTables <= count; i += kTables) {
    for (std::size_t table = 0; table < kTables; ++table)
      ++counts[table][field_of(values[i + table])];
  }
  for (; i < count; ++i) ++counts[0][field_of(values[i])];
  for (std::size_t field = 0; field + 1 < kFields; ++field) {  // the last holds NaN and infinity
    std::uint64_t total = 0;
    for (const auto& table : counts) total += table[field];
    if (field == 0) total -= zeros;  // what is left are subnormals
    const int bin = static_cast<int>(field) - BitsOf<T>::kBias - kFirstExponent;
    histogram[static_cast<std::size_t>(std::clamp(bin, 0, static_cast<int>(kHistogramBins) - 1))] +=
        total;
  }
}

template <typename T>
std::vector<T> without_non_finite(const T* values, std::size_t count) {
  std::vector<T> kept(values, values + count);
  std::replace_if(
      kept.begin(), kept.end(), [](T value) { return !std::isfinite(value); }, T{0});
  return kept;
}

template <typename T>
double finite_squares(const T* values, std::size_t count) {
  if (extent(values, count).non_finite == 0) return squares(values, count);
  return squares(without_non_finite(values, count).data(), count);
}

template <typename T>
ValueStatistics measure(const T* values, std::size_t count) {
  const Extent found = extent(values, count);
  ValueStatistics result;
  result.count = count;
  result.non_zero = found.non_zero;
  result.non_finite = found.non_finite;
  result.max_magnitude = found.max_magnitude;
  result.sum_of_squares =
      found.non_finite == 0 ? squares(values, count) : finite_squares(values, count);
  count_magnitudes(values, count, count - found.non_zero - found.non_finite, result.histogram);
  return result;
}

// A pair counts only where both are finite, so each loses the elements that the other cannot match.
template <typename T>
PairStatistics measure_finite_pair(const T* first, const T* second, std::size_t count) {
  std::vector<T> a = without_non_finite(first, count), b = without_non_finite(second, count);
  PairStatistics result = signs(a.data(), b.data(), count);
  result.dot = dot(a.data(), b.data(), count);
  return result;
}

template <typename T>
PairStatistics measure(const T* first, const T* second, std::size_t count) {
  const bool finite = extent(first, count).non_finite + extent(second, count).non_finite == 0;
  if (!finite) return measure_finite_pair(first, second, count);
  PairStatistics result = signs(first, second, count);
  result.dot = dot(first, second, count);
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
  return measure(first, second, count);
}
PairStatistics measure_pair(const double* first, const double* second, std::size_t count) {
  return measure(first, second, count);
}
double sum_of_squares(const float* values, std::size_t count) {
  return finite_squares(values, count);
}
double sum_of_squares(const double* values, std::size_t count) {
  return finite_squares(values, count);
}

}  // namespace suture::kernels
