#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "suture/spectrum.h"

namespace suture {

/// Entries that are NaN or infinite.
std::int64_t count_non_finite(const at::Tensor& values);

/// Share of entries that are zero; 0 for none.
double zero_share(const at::Tensor& delta);

/// Share with |delta| <= 1e-3 max(|base|, |base + delta|), in the wider precision of the two.
double relatively_unchanged_share(const at::Tensor& delta, const at::Tensor& base);

/// Share with |delta| >= half the spacing of bf16 numbers in base's binade: 2^(e - 8) where
/// 2^e <= |base| < 2^(e + 1), with e no less than -126.
double realisable_share(const at::Tensor& delta, const at::Tensor& base);

/// Which end of the magnitudes is meant.
enum class Extreme { kSmallest, kLargest };

/// Of delta's entries that are not 0, the share among the `share` of entries where |weights| is
/// most extreme. Entries that tie at the limit count by the part of them that makes up that share,
/// so that independent changes give `share` on average. 0 where nothing changed.
double changed_among(const at::Tensor& delta, const at::Tensor& weights, Extreme extreme,
                     double share);

/// Fills in what signs and masks of two vectors tell.
void compare_signs_and_masks(const at::Tensor& first, const at::Tensor& second, PairSpectrum& pair);

}  // namespace suture
