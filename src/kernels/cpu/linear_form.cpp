#include "kernels/linear_form.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "kernels/convert.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/stochastic.h"

namespace suture::kernels {
namespace {

// Elements held as float or double at a time: a few such buffers stay in the first-level cache.
constexpr std::size_t kChunk = 512;
static_assert(kChunk % kLanes == 0);

// --- Loops for the compiler, compiled per instruction set
// -----------------------------------------

template <typename M, typename S>
SUTURE_INLINE void scaled_difference(const void* minuend, const void* subtrahend, float scale,
                                     float* __restrict value, std::size_t count) {
  const auto* m = static_cast<const typename M::Stored*>(minuend);
  const auto* s = static_cast<const typename S::Stored*>(subtrahend);
  for (std::size_t i = 0; i < count; ++i) value[i] = (M::widen(m[i]) - S::widen(s[i])) * scale;
}

template <typename M>
SUTURE_INLINE void scaled(const void* minuend, float scale, float* __restrict value,
                          std::size_t count) {
  const auto* m = static_cast<const typename M::Stored*>(minuend);
  for (std::size_t i = 0; i < count; ++i) value[i] = M::widen(m[i]) * scale;
}

// Where the sum does not move the target (also -0 against +0), or that is NaN, its bits stay.
// `target` may be `out`.
template <typename D>
SUTURE_INLINE void round_and_keep(const void* target, const float* __restrict start,
                                  const float* __restrict sum, void* out, std::size_t count) {
  const auto* stored = static_cast<const typename D::Stored*>(target);
  auto* made = static_cast<typename D::Stored*>(out);
#pragma GCC ivdep
  for (std::size_t i = 0; i < count; ++i) {
    const typename D::Stored kept = stored[i], rounded = D::narrow(sum[i]);
    const bool moved = (sum[i] != start[i]) & (start[i] == start[i]);
    made[i] = moved ? rounded : kept;
  }
}

template <typename D>
SUTURE_INLINE void subtract_start(const void* out, const float* __restrict start,
                                  float* __restrict realised, std::size_t count) {
  const auto* made = static_cast<const typename D::Stored*>(out);
  for (std::size_t i = 0; i < count; ++i) realised[i] = D::widen(made[i]) - start[i];
}

template <typename T>
SUTURE_INLINE void add(T* __restrict sum, const T* __restrict value, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) sum[i] = sum[i] + value[i];
}

template <typename T>
SUTURE_INLINE void sum_of(const T* __restrict a, const T* __restrict b, T* __restrict sum,
                          std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) sum[i] = a[i] + b[i];
}

template <typename T>
SUTURE_INLINE void subtract(T* __restrict a, const T* __restrict b, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) a[i] = a[i] - b[i];
}

template <typename T>
SUTURE_INLINE void multiply(T* a, T scale, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) a[i] = a[i] * scale;
}

template <typename T>
SUTURE_INLINE void keep_unmoved(T* __restrict sum, const T* __restrict start, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const bool moved = sum[i] != start[i] && start[i] == start[i];
    sum[i] = moved ? sum[i] : start[i];
  }
}

struct ChangeLanes {
  double wanted[kLanes] = {}, realised[kLanes] = {}, dot[kLanes] = {};
  std::uint64_t changed = 0, non_finite = 0;
};

// Whole lanes only: the caller pads with zeros.
template <typename T>
SUTURE_INLINE void add_change(const T* __restrict wanted, const T* __restrict realised,
                              std::size_t count, ChangeLanes& lanes) {
  ChangeLanes sums = lanes;
  for (std::size_t i = 0; i < count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const auto w = static_cast<double>(wanted[i + lane]);
      const auto r = static_cast<double>(realised[i + lane]);
      sums.wanted[lane] += w * w;
      sums.realised[lane] += r * r;
      sums.dot[lane] += w * r;
    }
  }
  lanes = sums;
}

template <typename T>
SUTURE_INLINE std::uint64_t count_changed_in(const T* realised, std::size_t count) {
  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t> changed = 0;
  for (std::size_t i = 0; i < count; ++i) changed += realised[i] != 0 ? 1 : 0;
  return changed;
}

SUTURE_VECTORIZE void difference_bf16(const void* m, const void* s, float scale, float* v,
                                      std::size_t n) {
  scaled_difference<Bf16, Bf16>(m, s, scale, v, n);
}
SUTURE_VECTORIZE void difference_f16(const void* m, const void* s, float scale, float* v,
                                     std::size_t n) {
  scaled_difference<F16, F16>(m, s, scale, v, n);
}
SUTURE_VECTORIZE void difference_f32(const void* m, const void* s, float scale, float* v,
                                     std::size_t n) {
  scaled_difference<F32, F32>(m, s, scale, v, n);
}
SUTURE_VECTORIZE void scaled_bf16(const void* m, float scale, float* v, std::size_t n) {
  scaled<Bf16>(m, scale, v, n);
}
SUTURE_VECTORIZE void scaled_f16(const void* m, float scale, float* v, std::size_t n) {
  scaled<F16>(m, scale, v, n);
}
SUTURE_VECTORIZE void scaled_f32(const void* m, float scale, float* v, std::size_t n) {
  scaled<F32>(m, scale, v, n);
}
SUTURE_VECTORIZE void keep_bf16(const void* t, const float* b, const float* s, void* o,
                                std::size_t n) {
  round_and_keep<Bf16>(t, b, s, o, n);
}
SUTURE_VECTORIZE void keep_f16(const void* t, const float* b, const float* s, void* o,
                               std::size_t n) {
  round_and_keep<F16>(t, b, s, o, n);
}
SUTURE_VECTORIZE void keep_f32(const void* t, const float* b, const float* s, void* o,
                               std::size_t n) {
  round_and_keep<F32>(t, b, s, o, n);
}
SUTURE_VECTORIZE void realised_bf16(const void* o, const float* b, float* r, std::size_t n) {
  subtract_start<Bf16>(o, b, r, n);
}
SUTURE_VECTORIZE void realised_f16(const void* o, const float* b, float* r, std::size_t n) {
  subtract_start<F16>(o, b, r, n);
}
SUTURE_VECTORIZE void realised_f32(const void* o, const float* b, float* r, std::size_t n) {
  subtract_start<F32>(o, b, r, n);
}
SUTURE_VECTORIZE void add_f(float* a, const float* b, std::size_t n) { add(a, b, n); }
SUTURE_VECTORIZE void add_d(double* a, const double* b, std::size_t n) { add(a, b, n); }
SUTURE_VECTORIZE void sum_f(const float* a, const float* b, float* s, std::size_t n) {
  sum_of(a, b, s, n);
}
SUTURE_VECTORIZE void sum_d(const double* a, const double* b, double* s, std::size_t n) {
  sum_of(a, b, s, n);
}
SUTURE_VECTORIZE void subtract_f(float* a, const float* b, std::size_t n) { subtract(a, b, n); }
SUTURE_VECTORIZE void subtract_d(double* a, const double* b, std::size_t n) { subtract(a, b, n); }
SUTURE_VECTORIZE void multiply_f(float* a, float s, std::size_t n) { multiply(a, s, n); }
SUTURE_VECTORIZE void multiply_d(double* a, double s, std::size_t n) { multiply(a, s, n); }
SUTURE_VECTORIZE void keep_f(float* a, const float* b, std::size_t n) { keep_unmoved(a, b, n); }
SUTURE_VECTORIZE void keep_d(double* a, const double* b, std::size_t n) { keep_unmoved(a, b, n); }
SUTURE_VECTORIZE void change_f(const float* w, const float* r, std::size_t n, ChangeLanes& lanes) {
  add_change(w, r, n, lanes);
}
SUTURE_VECTORIZE void change_d(const double* w, const double* r, std::size_t n,
                               ChangeLanes& lanes) {
  add_change(w, r, n, lanes);
}
SUTURE_VECTORIZE std::uint64_t count_f(const float* r, std::size_t n) {
  return count_changed_in(r, n);
}
SUTURE_VECTORIZE std::uint64_t count_d(const double* r, std::size_t n) {
  return count_changed_in(r, n);
}

struct RandomChunk {
  std::uint32_t first[kChunk], second[kChunk];
};

SUTURE_VECTORIZE void fill_random(std::uint64_t key, std::uint64_t counter, std::size_t n,
                                  RandomChunk& random) {
  for (std::size_t i = 0; i < n; ++i) {
    const RandomWords words = philox(key, counter + i);
    random.first[i] = words.first;
    random.second[i] = words.second;
  }
}
SUTURE_VECTORIZE void stochastic_bf16(const float* v, const std::uint32_t* random,
                                      std::uint16_t* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) out[i] = float_to_bf16_stochastic(v[i], random[i]);
}
SUTURE_VECTORIZE void stochastic_f16(const float* v, const std::uint32_t* random,
                                     std::uint16_t* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) out[i] = float_to_f16_stochastic(v[i], random[i]);
}

struct Ops {
  static void add(float* a, const float* b, std::size_t n) { add_f(a, b, n); }
  static void add(double* a, const double* b, std::size_t n) { add_d(a, b, n); }
  static void sum(const float* a, const float* b, float* s, std::size_t n) { sum_f(a, b, s, n); }
  static void sum(const double* a, const double* b, double* s, std::size_t n) { sum_d(a, b, s, n); }
  static void subtract(float* a, const float* b, std::size_t n) { subtract_f(a, b, n); }
  static void subtract(double* a, const double* b, std::size_t n) { subtract_d(a, b, n); }
  static void multiply(float* a, float s, std::size_t n) { multiply_f(a, s, n); }
  static void multiply(double* a, double s, std::size_t n) { multiply_d(a, s, n); }
  static void keep(float* a, const float* b, std::size_t n) { keep_f(a, b, n); }
  static void keep(double* a, const double* b, std::size_t n) { keep_d(a, b, n); }
  static void change(const float* w, const float* r, std::size_t n, ChangeLanes& lanes) {
    change_f(w, r, n, lanes);
  }
  static void change(const double* w, const double* r, std::size_t n, ChangeLanes& lanes) {
    change_d(w, r, n, lanes);
  }
  static std::uint64_t count_changed(const float* r, std::size_t n) { return count_f(r, n); }
  static std::uint64_t count_changed(const double* r, std::size_t n) { return count_d(r, n); }
};

// --- One chunk -----------------------------------------------------------------------------------

std::size_t width_of(Dtype dtype) { return static_cast<std::size_t>(bytes_of(dtype)); }

const void* element(StoredTile tile, std::size_t first) {
  return static_cast<const char*>(tile.data) + first * width_of(tile.dtype);
}

// scale * (minuend - subtrahend). Multiplying by 1 changes nothing.
void evaluate_term(const TermTile& term, std::size_t first, std::size_t count, float* value) {
  const void* minuend = element(term.minuend, first);
  const auto scale = static_cast<float>(term.scale);
  const bool alone = term.subtrahend.data == nullptr;
  if (alone || term.subtrahend.dtype == term.minuend.dtype) {
    const void* subtrahend = alone ? nullptr : element(term.subtrahend, first);
    switch (term.minuend.dtype) {
      case Dtype::kBF16:
        return alone ? scaled_bf16(minuend, scale, value, count)
                     : difference_bf16(minuend, subtrahend, scale, value, count);
      case Dtype::kF16:
        return alone ? scaled_f16(minuend, scale, value, count)
                     : difference_f16(minuend, subtrahend, scale, value, count);
      default:
        return alone ? scaled_f32(minuend, scale, value, count)
                     : difference_f32(minuend, subtrahend, scale, value, count);
    }
  }
  float subtrahend[kChunk];
  widen(term.minuend.dtype, minuend, value, count);
  widen(term.subtrahend.dtype, element(term.subtrahend, first), subtrahend, count);
  Ops::subtract(value, subtrahend, count);
  Ops::multiply(value, scale, count);
}

void evaluate_term(const TermTile& term, std::size_t first, std::size_t count, double* value) {
  widen(term.minuend.dtype, element(term.minuend, first), value, count);
  if (term.subtrahend.data != nullptr) {
    double subtrahend[kChunk];
    widen(term.subtrahend.dtype, element(term.subtrahend, first), subtrahend, count);
    Ops::subtract(value, subtrahend, count);
  }
  Ops::multiply(value, term.scale, count);
}

// The sum of the target and of the terms, and the terms' own sum when it is asked for.
template <typename T>
void evaluate(std::span<const TermTile> terms, std::size_t first, std::size_t count, const T* start,
              T* sum, T* wanted) {
  if (terms.empty()) {
    std::copy_n(start, count, sum);
    if (wanted != nullptr) std::fill_n(wanted, count, T{0});
    return;
  }
  T buffer[kChunk];
  T* value = wanted != nullptr ? wanted : buffer;
  evaluate_term(terms.front(), first, count, value);
  Ops::sum(start, value, sum, count);
  for (const TermTile& term : terms.subspan(1)) {
    evaluate_term(term, first, count, buffer);
    Ops::add(sum, buffer, count);
    if (wanted != nullptr) Ops::add(wanted, buffer, count);
  }
}

// The element's float, which in its turn is rounded stochastically from a double: in two steps,
// each right on average, the whole is.
void to_floats(const float* sum, const RandomChunk&, float* floats, std::size_t count) {
  std::copy_n(sum, count, floats);
}
void to_floats(const double* sum, const RandomChunk& random, float* floats, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    floats[i] = double_to_float_stochastic(sum[i], random.second[i]);
}

template <typename T>
void round_stochastically(const T* sum, Dtype dtype, void* out, std::size_t count,
                          std::uint64_t key, std::uint64_t counter) {
  if (width_of(dtype) >= sizeof(T)) return narrow(dtype, sum, out, count);
  RandomChunk random;
  fill_random(key, counter, count, random);
  float floats[kChunk];
  to_floats(sum, random, floats, count);
  switch (dtype) {
    case Dtype::kBF16:
      return stochastic_bf16(floats, random.first, static_cast<std::uint16_t*>(out), count);
    case Dtype::kF16:
      return stochastic_f16(floats, random.first, static_cast<std::uint16_t*>(out), count);
    default:
      return narrow(dtype, floats, out, count);
  }
}

// Converting a signalling NaN can quiet it and a sum that did not move may be +0 for -0, so what is
// kept takes its stored bits back.
template <typename T>
void restore_kept(const T* sum, const T* start, const char* stored, char* out, std::size_t width,
                  std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (sum[i] == start[i] || start[i] != start[i])
      std::memcpy(out + i * width, stored + i * width, width);
  }
}

bool round_in_one_loop(StoredTile target, std::size_t first, const float* start, const float* sum,
                       void* out, std::size_t count) {
  const void* stored = element(target, first);
  if (target.dtype == Dtype::kBF16) keep_bf16(stored, start, sum, out, count);
  if (target.dtype == Dtype::kF16) keep_f16(stored, start, sum, out, count);
  if (target.dtype == Dtype::kF32) keep_f32(stored, start, sum, out, count);
  return true;
}
bool round_in_one_loop(StoredTile, std::size_t, const double*, const double*, void*, std::size_t) {
  return false;
}

template <typename T>
void round_chunk(StoredTile target, std::size_t first, std::size_t count, const T* start, T* sum,
                 Dtype out_dtype, char* out, const Rounding& rounding) {
  const bool same_dtype = out_dtype == target.dtype;
  if (same_dtype && !rounding.stochastic &&
      round_in_one_loop(target, first, start, sum, out, count))
    return;
  char stored[kChunk * sizeof(double)];  // `out` may be the target's memory
  if (same_dtype) std::memcpy(stored, element(target, first), count * width_of(out_dtype));
  Ops::keep(sum, start, count);
  if (rounding.stochastic) {
    round_stochastically(sum, out_dtype, out, count, rounding.key, rounding.first_element + first);
  } else {
    narrow(out_dtype, sum, out, count);
  }
  if (same_dtype) restore_kept(sum, start, stored, out, width_of(out_dtype), count);
}

void realised_change(Dtype dtype, const void* out, const float* start, float* realised,
                     std::size_t count) {
  switch (dtype) {
    case Dtype::kBF16:
      return realised_bf16(out, start, realised, count);
    case Dtype::kF16:
      return realised_f16(out, start, realised, count);
    case Dtype::kF32:
      return realised_f32(out, start, realised, count);
    default: {
      double wide[kChunk];
      widen(dtype, out, wide, count);
      for (std::size_t i = 0; i < count; ++i) realised[i] = static_cast<float>(wide[i]) - start[i];
    }
  }
}

void realised_change(Dtype dtype, const void* out, const double* start, double* realised,
                     std::size_t count) {
  widen(dtype, out, realised, count);
  Ops::subtract(realised, start, count);
}

// --- Whole tiles ---------------------------------------------------------------------------------

// Adds the change of one chunk, elements that are not finite left out of the sums.
template <typename T>
void add_chunk_change(const T* start, T* wanted, T* realised, std::size_t count,
                      ChangeLanes& lanes) {
  const std::size_t padded = (count + kLanes - 1) / kLanes * kLanes;
  std::fill(wanted + count, wanted + padded, T{0});
  std::fill(realised + count, realised + padded, T{0});
  const ChangeLanes before = lanes;
  Ops::change(wanted, realised, padded, lanes);
  double check = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane)
    check += 0 * (lanes.wanted[lane] + lanes.realised[lane]);
  if (check != 0) {
    lanes = before;
    for (std::size_t i = 0; i < count; ++i) {
      if (std::isfinite(wanted[i]) && std::isfinite(realised[i])) continue;
      lanes.non_finite += std::isfinite(start[i]) && !std::isfinite(realised[i]);
      wanted[i] = realised[i] = 0;
    }
    Ops::change(wanted, realised, padded, lanes);
  }
  lanes.changed += Ops::count_changed(realised, count);
}

template <typename T, bool kMeasured>
void add_chunks(StoredTile target, std::span<const TermTile> terms, Dtype out_dtype, char* out,
                std::size_t count, const Rounding& rounding, ChangeLanes& lanes) {
  T start[kChunk], sum[kChunk], wanted[kChunk], realised[kChunk];
  for (std::size_t first = 0; first < count; first += kChunk) {
    const std::size_t length = std::min(kChunk, count - first);
    char* at = out + first * width_of(out_dtype);
    widen(target.dtype, element(target, first), start, length);
    evaluate<T>(terms, first, length, start, sum, kMeasured ? wanted : nullptr);
    round_chunk(target, first, length, start, sum, out_dtype, at, rounding);
    if constexpr (kMeasured) {
      realised_change(out_dtype, at, start, realised, length);
      add_chunk_change(start, wanted, realised, length, lanes);
    }
  }
}

template <typename T>
void sum_chunks(std::span<const TermTile> terms, T* out, std::size_t count) {
  for (std::size_t first = 0; first < count; first += kChunk) {
    const std::size_t length = std::min(kChunk, count - first);
    evaluate_term(terms.front(), first, length, out + first);
    for (const TermTile& term : terms.subspan(1)) {
      T value[kChunk];
      evaluate_term(term, first, length, value);
      Ops::add(out + first, value, length);
    }
  }
}

ChangeSums total_of(const ChangeLanes& lanes) {
  ChangeSums sums;
  sums.changed = lanes.changed + lanes.non_finite;
  sums.non_finite = lanes.non_finite;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    sums.wanted_squares += lanes.wanted[lane];
    sums.realised_squares += lanes.realised[lane];
    sums.dot += lanes.dot[lane];
  }
  return sums;
}

}  // namespace

void ChangeSums::append(const ChangeSums& next) {
  changed += next.changed;
  non_finite += next.non_finite;
  wanted_squares += next.wanted_squares;
  realised_squares += next.realised_squares;
  dot += next.dot;
}

bool computes_in_double(std::span<const TermTile> terms, Dtype target) {
  return target == Dtype::kF64 || std::any_of(terms.begin(), terms.end(), [](const TermTile& term) {
           return term.minuend.dtype == Dtype::kF64 ||
                  (term.subtrahend.data != nullptr && term.subtrahend.dtype == Dtype::kF64);
         });
}

void add_to_target(StoredTile target, std::span<const TermTile> terms, Dtype out_dtype, void* out,
                   std::size_t count, const Rounding& rounding) {
  ChangeLanes unused;
  (computes_in_double(terms, target.dtype) ? add_chunks<double, false>
                                           : add_chunks<float, false>)(target, terms, out_dtype,
                                                                       static_cast<char*>(out),
                                                                       count, rounding, unused);
}

ChangeSums add_to_target_measured(StoredTile target, std::span<const TermTile> terms,
                                  Dtype out_dtype, void* out, std::size_t count,
                                  const Rounding& rounding) {
  ChangeLanes lanes;
  (computes_in_double(terms, target.dtype) ? add_chunks<double, true>
                                           : add_chunks<float, true>)(target, terms, out_dtype,
                                                                      static_cast<char*>(out),
                                                                      count, rounding, lanes);
  return total_of(lanes);
}

void sum_of_terms(std::span<const TermTile> terms, float* out, std::size_t count) {
  sum_chunks(terms, out, count);
}

void sum_of_terms(std::span<const TermTile> terms, double* out, std::size_t count) {
  sum_chunks(terms, out, count);
}

}  // namespace suture::kernels
