#include "kernels/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels/convert.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/vectorize.h"

namespace suture::kernels {
namespace {

// Elements at a time, so that several loops over them find them in the first-level cache.
constexpr std::size_t kChunk = 1024;
static_assert(kChunk % kLanes == 0);

template <typename T>
struct BitsOf;
template <>
struct BitsOf<float> {
  using Type = std::uint32_t;
  static constexpr std::int32_t kInfinity = 0x7F800000;
  static constexpr int kMantissaBits = 23, kBias = 127, kSign = 31;
};
template <>
struct BitsOf<double> {
  using Type = std::uint64_t;
  static constexpr std::int64_t kInfinity = 0x7FF0000000000000;
  static constexpr int kMantissaBits = 52, kBias = 1023, kSign = 63;
};

// Integer reductions on the bits vectorise where float ones may not be reordered; each has a loop
// of its own, since the compiler gives up on several in one.
template <typename T>
using SignedBits = std::make_signed_t<typename BitsOf<T>::Type>;

template <typename T>
SUTURE_INLINE SignedBits<T> magnitude_bits(T value) {
  using Bits = typename BitsOf<T>::Type;
  return static_cast<SignedBits<T>>(std::bit_cast<Bits>(value) & ~(Bits{1} << BitsOf<T>::kSign));
}

template <typename T>
SUTURE_INLINE SignedBits<T> largest_in(const T* values, std::size_t count, SignedBits<T> largest) {
  for (std::size_t i = 0; i < count; ++i) {
    const SignedBits<T> magnitude = magnitude_bits(values[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

template <typename T>
SUTURE_INLINE void add_squares(const T* values, std::size_t count, Lanes& lanes) {
  add_products(
      count, lanes, [values](std::size_t i) __attribute__((always_inline)) {
        return static_cast<double>(values[i]) * static_cast<double>(values[i]);
      });
}

template <typename T>
SUTURE_INLINE void add_dots(const T* first, const T* second, std::size_t count, Lanes& lanes) {
  add_products(
      count, lanes, [ first, second ](std::size_t i) __attribute__((always_inline)) {
        return static_cast<double>(first[i]) * static_cast<double>(second[i]);
      });
}

// Magnitudes are counted two at a time, in a table of all pairs of bins. Zeros have a bin for each
// place among sixteen: an update that leaves most elements alone would wait on one counter else.
constexpr int kBinBits = 6;
constexpr std::size_t kBins = std::size_t{1} << kBinBits;
static_assert(kHistogramBins + kLanes == kBins);
using PairCounts = std::uint32_t[kBins * kBins];

template <typename T>
SUTURE_INLINE SignedBits<T> find_bins(const T* values, std::size_t count, SignedBits<T> largest,
                                      std::uint16_t* bins) {
  constexpr int kLast = static_cast<int>(kHistogramBins) - 1;
  constexpr int kFirst = BitsOf<T>::kBias + kFirstExponent;
  for (std::size_t i = 0; i < count; ++i) {
    const SignedBits<T> magnitude = magnitude_bits(values[i]);
    largest = magnitude > largest ? magnitude : largest;
    const auto exponent = static_cast<std::int32_t>(magnitude >> BitsOf<T>::kMantissaBits);
    const std::int32_t bin = std::min(std::max(exponent - kFirst, 0), kLast);
    const auto zero = static_cast<std::int32_t>(i & (kLanes - 1)) + kLast + 1;
    bins[i] = static_cast<std::uint16_t>(magnitude == 0 ? zero : bin);
  }
  return largest;
}

SUTURE_INLINE void find_pairs(const std::uint16_t* bins, std::size_t pairs, std::uint16_t* found) {
  for (std::size_t i = 0; i < pairs; ++i) {
    std::uint32_t both;
    std::memcpy(&both, bins + 2 * i, sizeof both);
    found[i] = static_cast<std::uint16_t>((both | both >> (16 - kBinBits)) & (kBins * kBins - 1));
  }
}

// Everything of a pair but the dot product.
template <typename T>
SUTURE_INLINE PairStatistics signs_in(const T* first, const T* second, std::size_t count) {
  using Bits = typename BitsOf<T>::Type;
  constexpr int kSign = BitsOf<T>::kSign;
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

SUTURE_VECTORIZE std::int32_t largest(const float* v, std::size_t n, std::int32_t known) {
  return largest_in(v, n, known);
}
SUTURE_VECTORIZE std::int64_t largest(const double* v, std::size_t n, std::int64_t known) {
  return largest_in(v, n, known);
}
SUTURE_VECTORIZE void squares(const float* v, std::size_t n, Lanes& lanes) {
  add_squares(v, n, lanes);
}
SUTURE_VECTORIZE void squares(const double* v, std::size_t n, Lanes& lanes) {
  add_squares(v, n, lanes);
}
SUTURE_VECTORIZE void dots(const float* a, const float* b, std::size_t n, Lanes& lanes) {
  add_dots(a, b, n, lanes);
}
SUTURE_VECTORIZE void dots(const double* a, const double* b, std::size_t n, Lanes& lanes) {
  add_dots(a, b, n, lanes);
}
SUTURE_VECTORIZE std::int32_t bins_of(const float* v, std::size_t n, std::int32_t known,
                                      std::uint16_t* bins) {
  return find_bins(v, n, known, bins);
}
SUTURE_VECTORIZE std::int64_t bins_of(const double* v, std::size_t n, std::int64_t known,
                                      std::uint16_t* bins) {
  return find_bins(v, n, known, bins);
}
SUTURE_VECTORIZE void pairs_of(const std::uint16_t* bins, std::size_t n, std::uint16_t* pairs) {
  find_pairs(bins, n, pairs);
}
SUTURE_VECTORIZE PairStatistics signs(const float* a, const float* b, std::size_t n) {
  return signs_in(a, b, n);
}
SUTURE_VECTORIZE PairStatistics signs(const double* a, const double* b, std::size_t n) {
  return signs_in(a, b, n);
}

template <typename T>
SignedBits<T> count_magnitudes(const T* values, std::size_t count, SignedBits<T> largest,
                               PairCounts& counts) {
  std::uint16_t bins[kChunk + 1];
  std::uint16_t pairs[kChunk / 2];
  largest = bins_of(values, count, largest, bins);
  bins[count] = kBins - 1;  // an odd one is counted beside a zero, which the caller takes off
  const std::size_t found = (count + 1) / 2;
  pairs_of(bins, found, pairs);
  // Four at a load: a load may have to wait for a store to an address that is like its own.
  std::size_t i = 0;
  for (; i + 4 <= found; i += 4) {
    std::uint64_t four;
    std::memcpy(&four, pairs + i, sizeof four);
    ++counts[four & 0xFFFF];
    ++counts[four >> 16 & 0xFFFF];
    ++counts[four >> 32 & 0xFFFF];
    ++counts[four >> 48];
  }
  for (; i < found; ++i) ++counts[pairs[i]];
  return largest;
}

std::array<std::uint64_t, kBins> add_up(const PairCounts& counts) {
  std::array<std::uint64_t, kBins> bins{};
  for (std::size_t second = 0; second < kBins; ++second) {
    std::uint64_t row = 0;
    for (std::size_t first = 0; first < kBins; ++first) {
      bins[first] += counts[second << kBinBits | first];
      row += counts[second << kBinBits | first];
    }
    bins[second] += row;
  }
  return bins;
}

template <typename T>
std::vector<T> without_non_finite(const T* values, std::size_t count) {
  std::vector<T> kept(values, values + count);
  std::replace_if(
      kept.begin(), kept.end(), [](T value) { return !std::isfinite(value); }, T{0});
  return kept;
}

template <typename T>
bool all_finite(const T* values, std::size_t count) {
  return largest(values, count, SignedBits<T>{0}) < BitsOf<T>::kInfinity;
}

template <typename T>
ValueStatistics measure(const T* values, std::size_t count) {
  PairCounts counts{};
  Lanes lanes;
  SignedBits<T> most = 0;
  for (std::size_t first = 0; first < count; first += kChunk) {
    const std::size_t length = std::min(kChunk, count - first);
    squares(values + first, length, lanes);
    most = count_magnitudes(values + first, length, most, counts);
  }
  if (most >= BitsOf<T>::kInfinity) {
    ValueStatistics result = measure(without_non_finite(values, count).data(), count);
    result.non_finite = static_cast<std::uint64_t>(
        std::count_if(values, values + count, [](T value) { return !std::isfinite(value); }));
    return result;
  }
  const auto bins = add_up(counts);
  ValueStatistics result;
  result.count = count;
  result.non_zero = count + count % 2;
  for (std::size_t bin = kHistogramBins; bin < kBins; ++bin) result.non_zero -= bins[bin];
  result.max_magnitude = static_cast<double>(std::bit_cast<T>(most));
  result.sum_of_squares = lanes.total();
  std::copy_n(bins.begin(), kHistogramBins, result.histogram.begin());
  return result;
}

template <typename T>
PairStatistics measure(const T* first, const T* second, std::size_t count) {
  // A pair counts only where both are finite: a zero in either takes it out.
  if (!all_finite(first, count) || !all_finite(second, count)) {
    return measure(without_non_finite(first, count).data(),
                   without_non_finite(second, count).data(), count);
  }
  PairStatistics result = signs(first, second, count);
  Lanes lanes;
  dots(first, second, count, lanes);
  result.dot = lanes.total();
  return result;
}

// Sums of squares that are not finite tell of elements that are not, or that are too large.
template <typename T>
double finite_squares(const T* values, std::size_t count) {
  Lanes lanes;
  squares(values, count, lanes);
  if (std::isfinite(lanes.total()) || all_finite(values, count)) return lanes.total();
  return finite_squares(without_non_finite(values, count).data(), count);
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

double sum_of_squares(StoredTile values, std::size_t count) {
  if (values.dtype == Dtype::kF64)
    return finite_squares(static_cast<const double*>(values.data), count);
  if (values.dtype == Dtype::kF32)
    return finite_squares(static_cast<const float*>(values.data), count);
  Lanes lanes;
  for (std::size_t first = 0; first < count; first += kChunk) {
    float floats[kChunk];
    const std::size_t length = std::min(kChunk, count - first);
    widen(values.dtype, static_cast<const std::uint16_t*>(values.data) + first, floats, length);
    squares(floats, length, lanes);
  }
  if (std::isfinite(lanes.total())) return lanes.total();
  std::vector<float> floats(count);
  widen(values.dtype, values.data, floats.data(), count);
  return finite_squares(floats.data(), count);
}

}  // namespace suture::kernels
