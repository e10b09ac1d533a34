#pragma once

// The in-place linear form, thread by thread, as `kernels/linear_form.h` defines it. A thread talks
// to no other, so a host can play all of them one after the other.

#include "kernels/cuda/convert.h"
#include "kernels/cuda/interface.h"

namespace suture::kernels::cuda {

/// Elements that a block of threads changes.
inline constexpr std::uint64_t kUpdateTile = 32768;

/// Elements that a thread takes at once where addresses are aligned: 16 bytes of a 16-bit dtype.
inline constexpr unsigned kVector = 8;

template <typename T, Dtype kDtype, unsigned kCount>
SUTURE_HOST_DEVICE inline void widen_run(const void* data, std::uint64_t first, T (&out)[kCount]) {
  typename Element<kDtype>::Bits bits[kCount];
  load(data, first, bits);
  for (unsigned i = 0; i < kCount; ++i) out[i] = Element<kDtype>::template widen<T>(bits[i]);
}

/// `widen_run` for a dtype known at run time.
template <typename T, unsigned kCount>
SUTURE_HOST_DEVICE inline void widen_any(Dtype dtype, const void* data, std::uint64_t first,
                                         T (&out)[kCount]) {
  switch (dtype) {
    case Dtype::kBF16:
      return widen_run<T, Dtype::kBF16>(data, first, out);
    case Dtype::kF16:
      return widen_run<T, Dtype::kF16>(data, first, out);
    case Dtype::kF64:
      return widen_run<T, Dtype::kF64>(data, first, out);
    default:
      return widen_run<T, Dtype::kF32>(data, first, out);
  }
}

/// One term whose operands are all of one dtype: what nearly all weights have.
template <Dtype kOperand, bool kSubtrahend>
struct OneTerm {
  static constexpr bool kSingle = true;
  template <typename T, unsigned kCount>
  SUTURE_HOST_DEVICE static void evaluate(const Term& term, std::uint64_t first,
                                          T (&value)[kCount]) {
    widen_run<T, kOperand>(term.minuend, first, value);
    if constexpr (kSubtrahend) {
      T subtrahend[kCount];
      widen_run<T, kOperand>(term.subtrahend, first, subtrahend);
      for (unsigned i = 0; i < kCount; ++i) value[i] = subtract(value[i], subtrahend[i]);
    }
  }
};

/// Any number of terms of any dtypes.
struct AnyTerms {
  static constexpr bool kSingle = false;
  template <typename T, unsigned kCount>
  SUTURE_HOST_DEVICE static void evaluate(const Term& term, std::uint64_t first,
                                          T (&value)[kCount]) {
    widen_any(term.minuend_dtype, term.minuend, first, value);
    if (term.subtrahend == nullptr) return;
    T subtrahend[kCount];
    widen_any(term.subtrahend_dtype, term.subtrahend, first, subtrahend);
    for (unsigned i = 0; i < kCount; ++i) value[i] = subtract(value[i], subtrahend[i]);
  }
};

template <typename T, unsigned kCount>
SUTURE_HOST_DEVICE inline void scale_run(double scale, T (&value)[kCount]) {
  if (scale == 1) return;
  for (unsigned i = 0; i < kCount; ++i) value[i] = multiply(value[i], static_cast<T>(scale));
}

/// Changes `kCount` elements. Where the sum equals the target, or that is NaN, its stored bits
/// stay.
template <typename T, Dtype kTarget, typename Terms, unsigned kCount>
SUTURE_HOST_DEVICE inline void update_run(const Update& update, const Term* terms,
                                          std::uint64_t first) {
  typename Element<kTarget>::Bits stored[kCount];
  load(update.target, first, stored);
  T target[kCount], sum[kCount];
  for (unsigned i = 0; i < kCount; ++i) {
    target[i] = Element<kTarget>::template widen<T>(stored[i]);
    sum[i] = target[i];
  }
  const std::uint64_t count = Terms::kSingle ? 1 : update.terms.count;
  for (std::uint64_t k = 0; k < count; ++k) {
    T value[kCount];
    Terms::evaluate(terms[k], first, value);
    scale_run(terms[k].scale, value);
    for (unsigned i = 0; i < kCount; ++i) sum[i] = add(sum[i], value[i]);
  }
  for (unsigned i = 0; i < kCount; ++i) {
    const bool moved = sum[i] != target[i] && target[i] == target[i];
    if (moved) stored[i] = Element<kTarget>::narrow(sum[i]);
  }
  store(update.target, first, stored);
}

/// The part of thread `thread` of `threads` in changing tile `tile` of a tensor, whose terms begin
/// at `terms`.
template <typename T, Dtype kTarget, typename Terms>
SUTURE_HOST_DEVICE inline void update_tile(const Update& update, const Term* terms,
                                           std::uint64_t tile, unsigned thread, unsigned threads) {
  std::uint64_t begin = tile * kUpdateTile;
  const std::uint64_t left = update.count - begin;
  const std::uint64_t end = begin + (left < kUpdateTile ? left : kUpdateTile);
  if (update.aligned) {
    const std::uint64_t vectors_end = begin + (end - begin) / kVector * kVector;
    for (std::uint64_t i = begin + std::uint64_t{thread} * kVector; i < vectors_end;
         i += std::uint64_t{threads} * kVector) {
      update_run<T, kTarget, Terms, kVector>(update, terms, i);
    }
    begin = vectors_end;
  }
  for (std::uint64_t i = begin + thread; i < end; i += threads) {
    update_run<T, kTarget, Terms, 1>(update, terms, i);
  }
}

/// Which instantiation of `update_tile` a tensor takes; tensors of one kind share a launch.
enum class UpdateKind : unsigned {
  kBF16Difference,
  kBF16Delta,
  kF16Difference,
  kF16Delta,
  kF32Difference,
  kF32Delta,
  kF64Difference,
  kF64Delta,
  kBF16FromF32Difference,
  kBF16FromF32Delta,
  kAnyBF16,
  kAnyF16,
  kAnyF32,
  kAnyBF16InDouble,
  kAnyF16InDouble,
  kAnyF32InDouble,
  kAnyF64,
};
inline constexpr unsigned kUpdateKinds = 17;

/// Calls `visit.template operator()<T, kTarget, Terms>()` with what `kind` stands for.
template <typename Visitor>
inline void with_update_kind(UpdateKind kind, Visitor&& visit) {
  constexpr Dtype kBF16 = Dtype::kBF16, kF16 = Dtype::kF16, kF32 = Dtype::kF32, kF64 = Dtype::kF64;
  switch (kind) {
    case UpdateKind::kBF16Difference:
      return visit.template operator()<float, kBF16, OneTerm<kBF16, true>>();
    case UpdateKind::kBF16Delta:
      return visit.template operator()<float, kBF16, OneTerm<kBF16, false>>();
    case UpdateKind::kF16Difference:
      return visit.template operator()<float, kF16, OneTerm<kF16, true>>();
    case UpdateKind::kF16Delta:
      return visit.template operator()<float, kF16, OneTerm<kF16, false>>();
    case UpdateKind::kF32Difference:
      return visit.template operator()<float, kF32, OneTerm<kF32, true>>();
    case UpdateKind::kF32Delta:
      return visit.template operator()<float, kF32, OneTerm<kF32, false>>();
    case UpdateKind::kF64Difference:
      return visit.template operator()<double, kF64, OneTerm<kF64, true>>();
    case UpdateKind::kF64Delta:
      return visit.template operator()<double, kF64, OneTerm<kF64, false>>();
    case UpdateKind::kBF16FromF32Difference:
      return visit.template operator()<float, kBF16, OneTerm<kF32, true>>();
    case UpdateKind::kBF16FromF32Delta:
      return visit.template operator()<float, kBF16, OneTerm<kF32, false>>();
    case UpdateKind::kAnyBF16:
      return visit.template operator()<float, kBF16, AnyTerms>();
    case UpdateKind::kAnyF16:
      return visit.template operator()<float, kF16, AnyTerms>();
    case UpdateKind::kAnyF32:
      return visit.template operator()<float, kF32, AnyTerms>();
    case UpdateKind::kAnyBF16InDouble:
      return visit.template operator()<double, kBF16, AnyTerms>();
    case UpdateKind::kAnyF16InDouble:
      return visit.template operator()<double, kF16, AnyTerms>();
    case UpdateKind::kAnyF32InDouble:
      return visit.template operator()<double, kF32, AnyTerms>();
    case UpdateKind::kAnyF64:
      return visit.template operator()<double, kF64, AnyTerms>();
  }
}

/// The kind of a tensor whose terms begin at `terms`.
inline UpdateKind kind_of(const Update& update, const Term* terms) {
  const auto either = [](UpdateKind kind, bool difference) {
    return static_cast<UpdateKind>(static_cast<unsigned>(kind) + (difference ? 0u : 1u));
  };
  const Term& term = terms[0];
  const bool difference = term.subtrahend != nullptr;
  if (update.terms.count == 1 && (!difference || term.subtrahend_dtype == term.minuend_dtype)) {
    if (term.minuend_dtype == update.dtype) {
      if (update.dtype == Dtype::kBF16) return either(UpdateKind::kBF16Difference, difference);
      if (update.dtype == Dtype::kF16) return either(UpdateKind::kF16Difference, difference);
      if (update.dtype == Dtype::kF32) return either(UpdateKind::kF32Difference, difference);
      return either(UpdateKind::kF64Difference, difference);
    }
    if (update.dtype == Dtype::kBF16 && term.minuend_dtype == Dtype::kF32)
      return either(UpdateKind::kBF16FromF32Difference, difference);
  }
  if (update.dtype == Dtype::kF64) return UpdateKind::kAnyF64;
  if (update.dtype == Dtype::kF32)
    return update.in_double ? UpdateKind::kAnyF32InDouble : UpdateKind::kAnyF32;
  if (update.dtype == Dtype::kF16)
    return update.in_double ? UpdateKind::kAnyF16InDouble : UpdateKind::kAnyF16;
  return update.in_double ? UpdateKind::kAnyBF16InDouble : UpdateKind::kAnyBF16;
}

}  // namespace suture::kernels::cuda
