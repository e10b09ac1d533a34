#pragma once

#include "suture/spectrum.h"

#include "analysis/leading_svd.h"

namespace suture {

/// Directions that stand for something: those of singular values above 1e-6 of the largest.
std::int64_t directions_of(const LeadingSvd& svd, std::int64_t rank);

/// Fills in what a pair's singular vectors tell: k, cosines, similarities and their chance levels.
void compare_subspaces(const LeadingSvd& first, const LeadingSvd& second, std::int64_t rank,
                       PairSpectrum& pair);

/// |a - b| / |b| over the first `rank` values; 0 where b is zero.
double spectral_drift(const LeadingSvd& moved, const LeadingSvd& base, std::int64_t rank);

/// The part of the matrix on its leading singular directions: left diag(values) right', as float32.
at::Tensor leading_part(const LeadingSvd& svd);

}  // namespace suture
