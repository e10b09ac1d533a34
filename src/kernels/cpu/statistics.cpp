#include "kernels/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <type_traits>
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

// Integer reductions on the bits vectorise where float ones may not be reordered; each has a loop
// of its own, since the compiler gives up on several in one.
template <typename T>
using SignedBits = std::make_signed_t<typename BitsOf<T>::Type>;

template <typename T>
SUTURE_INLINE typename BitsOf<T>::Type magnitude_bits(T value) {
  using Bits = typename BitsOf<T>::Type;
  return std::bit_cast<Bits>(value) & ~(Bits{1} << (8 * sizeof(T) - 1));
}

template <typename T>
SUTURE_INLINE std::uint64_t count_non_finite_in(const T* values, std::size_t count) {
  typename BitsOf<T>::Type found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    found += magnitude_bits(values[i]) >= BitsOf<T>::kExponent ? 1 : 0;
  }
  return found;
}

template <typename T>
SUTURE_INLINE std::uint64_t count_non_zero_in(const T* values, std::size_t count) {
  typename BitsOf<T>::Type found = 0;
  for (std::size_t i = 0; i < count; ++i) found += magnitude_bits(values[i]) != 0 ? 1 : 0;
  return found;
}

// Finite values only. Magnitudes order as their bits do.
template <typename T>
SUTURE_INLINE double max_magnitude_in(const T* values, std::size_t count) {
  SignedBits<T> largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto magnitude = static_cast<SignedBits<T>>(magnitude_bits(values[i]));
    largest = magnitude > largest ? magnitude : largest;
  }
  return static_cast<double>(std::bit_cast<T>(largest));
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

SUTURE_VECTORIZE std::uint64_t count_non_finite(const float* v, std::size_t n) {
  return count_non_finite_in(v, n);
}
SUTURE_VECTORIZE std::uint64_t count_non_finite(const double* v, std::size_t n) {
  return count_non_finite_in(v, n);
}
SUTURE_VECTORIZE std::uint64_t count_non_zero(const float* v, std::size_t n) {
  return count_non_zero_in(v, n);
}
SUTURE_VECTORIZE std::uint64_t count_non_zero(const double* v, std::size_t n) {
  return count_non_zero_in(v, n);
}
SUTURE_VECTORIZE double max_magnitude(const float* v, std::size_t n) {
  return max_magnitude_in(v, n);
}
SUTURE_VECTORIZE double max_magnitude(const double* v, std::size_t n) {
  return max_magnitude_in(v, n);
}
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
  if (count_non_finite(values, count) == 0) return squares(values, count);
  return squares(without_non_finite(values, count).data(), count);
}

template <typename T>
ValueStatistics measure_finite(const T* values, std::size_t count) {
  ValueStatistics result;
  result.count = count;
  result.non_zero = count_non_zero(values, count);
  result.max_magnitude = max_magnitude(values, count);
  result.sum_of_squares = squares(values, count);
  count_magnitudes(values, count, count - result.non_zero, result.histogram);
  return result;
}

template <typename T>
ValueStatistics measure(const T* values, std::size_t count) {
  const std::uint64_t non_finite = count_non_finite(values, count);
  if (non_finite == 0) return measure_finite(values, count);
  ValueStatistics result = measure_finite(without_non_finite(values, count).data(), count);
  result.non_finite = non_finite;
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
  const bool finite = count_non_finite(first, count) + count_non_finite(second, count) == 0;
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
