#include "kernels/difference.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "kernels/convert.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/vectorize.h"
#include "kernels/statistics.h"

namespace suture::kernels {
namespace {

// Elements at a time: tuned, base and difference as float stay in the
// first-level cache together.
constexpr std::size_t kChunk = 1024;

static_assert(kChunk % kLanes == 0 && kStatisticsTile % kChunk == 0);

// Every loop has one reduction of integer bits: the compiler vectorises those,
// and stays away from several in one.

SUTURE_VECTORIZE void subtract(const float* tuned, const float* base, float* difference,
                               std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) difference[i] = tuned[i] - base[i];
}

SUTURE_VECTORIZE std::uint32_t count_non_zero(const float* values, std::size_t count) {
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < count; ++i)
    found += std::bit_cast<std::uint32_t>(values[i]) << 1 != 0 ? 1u : 0u;
  return found;
}

// A float difference is a bf16 when the lower half of its bits is zero; a NaN
// that arithmetic made is quiet, which is all that the conversion would change.
SUTURE_VECTORIZE std::uint32_t find_bits_below_bf16(const float* values, std::size_t count) {
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < count; ++i)
    found |= std::bit_cast<std::uint32_t>(values[i]) & 0xFFFFu;
  return found;
}

SUTURE_VECTORIZE std::uint32_t find_bits_below_f16(const float* values, std::size_t count) {
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(values[i]) & 0x7FFFFFFFu;
    const auto value = std::bit_cast<float>(magnitude);
    const bool too_large = magnitude >= 0x47800000u && magnitude < 0x7F800000u;
    // Beside 0.5 a float holds multiples of 2^-24, as a subnormal f16 does.
    const bool too_fine = magnitude < 0x38800000u && (value + 0.5f) - 0.5f != value;
    found |= (magnitude & 0x1FFFu) | (too_large ? 1u : 0u) | (too_fine ? 1u : 0u);
  }
  return found;
}

// Not zero where base + difference, in float, may not be tuned: then elements
// have to be counted one by one. NaN is always in doubt, since conversions may
// touch its payload.
SUTURE_VECTORIZE std::uint32_t find_doubts(const float* tuned, const float* base,
                                           const float* difference, std::size_t count) {
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const float sum = base[i] + difference[i];
    const float kept = sum != base[i] ? sum : base[i];
    const bool is_nan = sum != sum;
    found |= (std::bit_cast<std::uint32_t>(kept) ^ std::bit_cast<std::uint32_t>(tuned[i])) |
             (is_nan ? 1u : 0u);
  }
  return found;
}

template <typename T>
SUTURE_INLINE void add_squares_in(const T* values, std::size_t count, Lanes& lanes) {
  add_products(
      count, lanes, [values](std::size_t i) __attribute__((always_inline)) {
        const auto value = static_cast<double>(values[i]);
        const double finite = value - value == 0 ? value : 0;
        return finite * finite;
      });
}

SUTURE_VECTORIZE void add_squares(const float* values, std::size_t count, Lanes& lanes) {
  add_squares_in(values, count, lanes);
}
SUTURE_VECTORIZE void add_squares(const double* values, std::size_t count, Lanes& lanes) {
  add_squares_in(values, count, lanes);
}

StoredTile part(StoredTile tile, std::size_t first) {
  return {
      static_cast<const char*>(tile.data) + first * static_cast<std::size_t>(bytes_of(tile.dtype)),
      tile.dtype};
}

std::uint64_t count_differing(const char* a, const char* b, std::size_t count, std::size_t width) {
  if (std::memcmp(a, b, count * width) == 0) return 0;
  std::uint64_t differing = 0;
  for (std::size_t i = 0; i < count; ++i)
    differing += std::memcmp(a + i * width, b + i * width, width) != 0;
  return differing;
}

// One chunk of the two models.
struct Chunk {
  StoredTile tuned, base;
  std::size_t count;
};

// Elements where base + values, stored as `dtype`, is not tuned to the bit.
template <typename T>
std::uint64_t count_inexact(const Chunk& chunk, const T* values, Dtype dtype) {
  char stored[kChunk * sizeof(double)], sum[kChunk * sizeof(double)];
  narrow(dtype, values, stored, chunk.count);
  const TermTile term{{stored, dtype}, {}, 1};
  add_to_target(chunk.base, {&term, 1}, chunk.tuned.dtype, sum, chunk.count);
  return count_differing(sum, static_cast<const char*>(chunk.tuned.data), chunk.count,
                         static_cast<std::size_t>(bytes_of(chunk.tuned.dtype)));
}

void subtract_in_double(const Chunk& chunk, double* difference) {
  const TermTile term{chunk.tuned, chunk.base, 1};
  sum_of_terms({&term, 1}, difference, chunk.count);
}

// Float64 is asked only where float32 fails: it never fails where that does
// not.
template <typename T>
void count_inexact_elements(const Chunk& chunk, const T* difference, std::optional<Dtype> chosen,
                            bool in_doubt, DifferenceFindings& found) {
  const std::uint64_t in_float = in_doubt ? count_inexact(chunk, difference, Dtype::kF32) : 0;
  found.inexact_in_float += in_float;
  if (in_float > 0) {
    double wide[kChunk];
    subtract_in_double(chunk, wide);
    found.inexact_in_double += count_inexact(chunk, wide, Dtype::kF64);
  }
  if (!chosen || *chosen == Dtype::kF64) return;
  found.inexact_in_chosen +=
      *chosen == Dtype::kF32 ? in_float : count_inexact(chunk, difference, *chosen);
}

char* element(const DifferenceOutput& output, std::size_t first) {
  return static_cast<char*>(output.data) + first * static_cast<std::size_t>(bytes_of(output.dtype));
}

void write_chunk(const Chunk& chunk, const float* difference, Dtype dtype, char* at) {
  if (dtype != Dtype::kF64) return narrow(dtype, difference, at, chunk.count);
  double wide[kChunk];
  subtract_in_double(chunk, wide);
  narrow(dtype, wide, at, chunk.count);
}

// What the chunks have shown so far.
class Examiner {
 public:
  Examiner(std::optional<Dtype> chosen, std::optional<DifferenceOutput> output)
      : chosen_(chosen), output_(output) {}

  DifferenceFindings finish() {
    found_.squares = squares_.total();
    found_.base_squares = base_squares_.total();
    return found_;
  }

 protected:
  std::optional<Dtype> chosen_;
  std::optional<DifferenceOutput> output_;
  DifferenceFindings found_;
  Lanes squares_, base_squares_;
};

class FloatExaminer : public Examiner {
 public:
  using Examiner::Examiner;

  void take(const Chunk& chunk, std::size_t first) {
    float tuned[kChunk], base[kChunk], buffer[kChunk];
    const bool in_place = output_ && output_->dtype == Dtype::kF32;
    auto* difference = in_place ? reinterpret_cast<float*>(element(*output_, first)) : buffer;
    widen(chunk.tuned.dtype, chunk.tuned.data, tuned, chunk.count);
    widen(chunk.base.dtype, chunk.base.data, base, chunk.count);
    subtract(tuned, base, difference, chunk.count);
    add_squares(base, chunk.count, base_squares_);
    add_squares(difference, chunk.count, squares_);
    found_.changed += count_non_zero(difference, chunk.count);
    // What one chunk has shown not to fit, no other can mend.
    if (found_.fits_bf16) found_.fits_bf16 = find_bits_below_bf16(difference, chunk.count) == 0;
    if (found_.fits_f16) found_.fits_f16 = find_bits_below_f16(difference, chunk.count) == 0;
    const bool in_doubt = find_doubts(tuned, base, difference, chunk.count) != 0;
    count_inexact_elements(chunk, difference, chosen_, in_doubt, found_);
    if (output_ && !in_place)
      write_chunk(chunk, difference, output_->dtype, element(*output_, first));
  }
};

class DoubleExaminer : public Examiner {
 public:
  DoubleExaminer(std::optional<Dtype> chosen, std::optional<DifferenceOutput> output)
      : Examiner(chosen, output) {
    found_.fits_bf16 = found_.fits_f16 = false;
  }

  void take(const Chunk& chunk, std::size_t first) {
    double base[kChunk], difference[kChunk];
    widen(chunk.base.dtype, chunk.base.data, base, chunk.count);
    subtract_in_double(chunk, difference);
    add_squares(base, chunk.count, base_squares_);
    add_squares(difference, chunk.count, squares_);
    found_.changed += static_cast<std::uint64_t>(std::count_if(
        difference, difference + chunk.count, [](double value) { return value != 0; }));
    count_inexact_elements(chunk, difference, chosen_, true, found_);
    if (!output_) return;
    narrow(output_->dtype, difference, element(*output_, first), chunk.count);
  }
};

template <typename Examiner>
DifferenceFindings examine(Examiner examiner, StoredTile tuned, StoredTile base,
                           std::size_t count) {
  for (std::size_t first = 0; first < count; first += kChunk) {
    examiner.take({part(tuned, first), part(base, first), std::min(kChunk, count - first)}, first);
  }
  return examiner.finish();
}

}  // namespace

void DifferenceFindings::append(const DifferenceFindings& next) {
  squares += next.squares;
  base_squares += next.base_squares;
  changed += next.changed;
  inexact_in_float += next.inexact_in_float;
  inexact_in_double += next.inexact_in_double;
  inexact_in_chosen += next.inexact_in_chosen;
  fits_bf16 = fits_bf16 && next.fits_bf16;
  fits_f16 = fits_f16 && next.fits_f16;
}

DifferenceFindings examine_difference(StoredTile tuned, StoredTile base, std::size_t count,
                                      std::optional<Dtype> chosen,
                                      std::optional<DifferenceOutput> output) {
  const bool in_double = tuned.dtype == Dtype::kF64 || base.dtype == Dtype::kF64;
  return in_double ? examine(DoubleExaminer(chosen, output), tuned, base, count)
                   : examine(FloatExaminer(chosen, output), tuned, base, count);
}

Dtype narrowest_exact_dtype(const DifferenceFindings& findings, bool in_double) {
  // A widening that would not help is not made.
  if (in_double || findings.inexact_in_double < findings.inexact_in_float) return Dtype::kF64;
  if (findings.fits_bf16) return Dtype::kBF16;
  return findings.fits_f16 ? Dtype::kF16 : Dtype::kF32;
}

bool is_narrower(Dtype a, Dtype b) {
  constexpr std::array kByWidth{Dtype::kBF16, Dtype::kF16, Dtype::kF32, Dtype::kF64};
  return std::find(kByWidth.begin(), kByWidth.end(), a) <
         std::find(kByWidth.begin(), kByWidth.end(), b);
}

}  // namespace suture::kernels
