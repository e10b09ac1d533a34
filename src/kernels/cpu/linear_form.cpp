#include "kernels/linear_form.h"

#include <algorithm>
#include <cstring>

#include "kernels/convert.h"
#include "kernels/cpu/vectorize.h"

namespace suture::kernels {
namespace {

// Elements held as float or double at a time: three such buffers stay in the first-level cache.
constexpr std::size_t kChunk = 1024;

template <typename T>
void subtract(T* __restrict a, const T* __restrict b, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) a[i] = a[i] - b[i];
}

template <typename T>
void multiply(T* a, T scale, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) a[i] = a[i] * scale;
}

template <typename T>
void add(T* __restrict a, const T* __restrict b, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) a[i] = a[i] + b[i];
}

// Puts the target's own value where the sum did not move it (also -0 against +0) or it is NaN.
template <typename T>
void keep_unmoved(T* __restrict sum, const T* __restrict target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const bool moved = sum[i] != target[i] && target[i] == target[i];
    sum[i] = moved ? sum[i] : target[i];
  }
}

template <typename T>
bool holds_nan(const T* values, std::size_t count) {
  unsigned found = 0;
  for (std::size_t i = 0; i < count; ++i) found |= values[i] != values[i] ? 1u : 0u;
  return found != 0;
}

// The loops above, compiled per instruction set for both precisions.
SUTURE_VECTORIZE void subtract_f(float* a, const float* b, std::size_t n) { subtract(a, b, n); }
SUTURE_VECTORIZE void subtract_d(double* a, const double* b, std::size_t n) { subtract(a, b, n); }
SUTURE_VECTORIZE void multiply_f(float* a, float s, std::size_t n) { multiply(a, s, n); }
SUTURE_VECTORIZE void multiply_d(double* a, double s, std::size_t n) { multiply(a, s, n); }
SUTURE_VECTORIZE void add_f(float* a, const float* b, std::size_t n) { add(a, b, n); }
SUTURE_VECTORIZE void add_d(double* a, const double* b, std::size_t n) { add(a, b, n); }
SUTURE_VECTORIZE void keep_f(float* a, const float* b, std::size_t n) { keep_unmoved(a, b, n); }
SUTURE_VECTORIZE void keep_d(double* a, const double* b, std::size_t n) { keep_unmoved(a, b, n); }
SUTURE_VECTORIZE bool holds_nan_f(const float* a, std::size_t n) { return holds_nan(a, n); }
SUTURE_VECTORIZE bool holds_nan_d(const double* a, std::size_t n) { return holds_nan(a, n); }

struct Ops {
  static void subtract(float* a, const float* b, std::size_t n) { subtract_f(a, b, n); }
  static void subtract(double* a, const double* b, std::size_t n) { subtract_d(a, b, n); }
  static void multiply(float* a, float s, std::size_t n) { multiply_f(a, s, n); }
  static void multiply(double* a, double s, std::size_t n) { multiply_d(a, s, n); }
  static void add(float* a, const float* b, std::size_t n) { add_f(a, b, n); }
  static void add(double* a, const double* b, std::size_t n) { add_d(a, b, n); }
  static void keep_unmoved(float* a, const float* b, std::size_t n) { keep_f(a, b, n); }
  static void keep_unmoved(double* a, const double* b, std::size_t n) { keep_d(a, b, n); }
  static bool holds_nan(const float* a, std::size_t n) { return holds_nan_f(a, n); }
  static bool holds_nan(const double* a, std::size_t n) { return holds_nan_d(a, n); }
};

const void* element(StoredTile tile, std::size_t first) {
  return static_cast<const char*>(tile.data) +
         first * static_cast<std::size_t>(bytes_of(tile.dtype));
}

// value = scale * (minuend - subtrahend) for one chunk.
template <typename T>
void evaluate_term(const TermTile& term, std::size_t first, std::size_t count, T* value) {
  widen(term.minuend.dtype, element(term.minuend, first), value, count);
  if (term.subtrahend.data != nullptr) {
    T subtrahend[kChunk];
    widen(term.subtrahend.dtype, element(term.subtrahend, first), subtrahend, count);
    Ops::subtract(value, subtrahend, count);
  }
  if (term.scale != 1) Ops::multiply(value, static_cast<T>(term.scale), count);
}

template <typename T>
void sum_chunk(std::span<const TermTile> terms, std::size_t first, std::size_t count, T* sum) {
  evaluate_term(terms.front(), first, count, sum);
  for (const TermTile& term : terms.subspan(1)) {
    T value[kChunk];
    evaluate_term(term, first, count, value);
    Ops::add(sum, value, count);
  }
}

template <typename T>
void write_chunk(StoredTile target, std::size_t first, std::size_t count, const T* widened,
                 const T* sum, Dtype out_dtype, void* out) {
  const auto width = static_cast<std::size_t>(bytes_of(out_dtype));
  char* at = static_cast<char*>(out) + first * width;
  if (out_dtype != target.dtype || !Ops::holds_nan(widened, count)) {
    return narrow(out_dtype, sum, at, count);
  }
  // Converting a signalling NaN can quiet it, so kept ones take their stored bits back at the end.
  char stored[kChunk * sizeof(double)];  // `out` may be the target's memory
  std::memcpy(stored, element(target, first), count * width);
  narrow(out_dtype, sum, at, count);
  for (std::size_t i = 0; i < count; ++i) {
    if (widened[i] != widened[i]) std::memcpy(at + i * width, stored + i * width, width);
  }
}

template <typename T>
void add_to_target_in(StoredTile target, std::span<const TermTile> terms, Dtype out_dtype,
                      void* out, std::size_t count) {
  T widened[kChunk], sum[kChunk], value[kChunk];
  for (std::size_t first = 0; first < count; first += kChunk) {
    const std::size_t length = std::min(kChunk, count - first);
    widen(target.dtype, element(target, first), widened, length);
    std::copy_n(widened, length, sum);
    for (const TermTile& term : terms) {
      evaluate_term(term, first, length, value);
      Ops::add(sum, value, length);
    }
    Ops::keep_unmoved(sum, widened, length);
    write_chunk(target, first, length, widened, sum, out_dtype, out);
  }
}

template <typename T>
void sum_of_terms_in(std::span<const TermTile> terms, T* out, std::size_t count) {
  for (std::size_t first = 0; first < count; first += kChunk) {
    sum_chunk(terms, first, std::min(kChunk, count - first), out + first);
  }
}

}  // namespace

bool computes_in_double(std::span<const TermTile> terms, Dtype target) {
  return target == Dtype::kF64 || std::any_of(terms.begin(), terms.end(), [](const TermTile& term) {
           return term.minuend.dtype == Dtype::kF64 ||
                  (term.subtrahend.data != nullptr && term.subtrahend.dtype == Dtype::kF64);
         });
}

void add_to_target(StoredTile target, std::span<const TermTile> terms, Dtype out_dtype, void* out,
                   std::size_t count) {
  if (computes_in_double(terms, target.dtype)) {
    add_to_target_in<double>(target, terms, out_dtype, out, count);
  } else {
    add_to_target_in<float>(target, terms, out_dtype, out, count);
  }
}

void sum_of_terms(std::span<const TermTile> terms, float* out, std::size_t count) {
  sum_of_terms_in(terms, out, count);
}

void sum_of_terms(std::span<const TermTile> terms, double* out, std::size_t count) {
  sum_of_terms_in(terms, out, count);
}

}  // namespace suture::kernels
