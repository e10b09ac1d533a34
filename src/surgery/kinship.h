#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "suture/name_mapping.h"

#include "core/tensor_source.h"

namespace suture {

/// A few thousand weights of a model, taken at positions that depend on tensor names and shapes
/// alone: enough to tell two fine-tunings of one start from two strangers without reading either.
struct WeightSample {
  /// Matrices sampled, sorted by name: of a projection 8 stretches (`NAME[1/8]`), of a fused one
  /// 32, so that each of those in it is met, down to a sixteenth of the rows.
  std::vector<std::string> tensors;
  std::vector<std::uint64_t> elements;  ///< Of each matrix: only equal ones were sampled alike.
  std::vector<float> values;            ///< 32 from each, in that order.

  bool empty() const { return values.empty(); }
};

/// Samples a source's matrices: one run of neighbours from each, since a cold disk pays by the
/// read.
WeightSample sample_weights(const TensorSource& source);

/// How far two models are from each other, on the tensors that both samples hold.
struct Kinship {
  double relative_distance = 0;  ///< |a - b| / |b|: about 1.4 for strangers, far below 1 for kin;
                                 ///< infinite where only b is zero.
  double cosine = 0;
  double rms = 0;            ///< Of b's weights.
  std::size_t compared = 0;  ///< Weights that went into it.
};

/// Compares two samples on the tensors of equal size that both hold.
Kinship kinship_of(const WeightSample& a, const WeightSample& b);

/// The same without the projections that `names` joins or cuts, unless there is nothing else: their
/// rows may be in another order.
Kinship kinship_of_others(const WeightSample& a, const WeightSample& b, const NameMapping& names);

/// The same of a projection that stands in one tensor with others in one of the models.
struct PartKinship {
  std::string name;      ///< Of the projection's own tensor.
  std::string old_name;  ///< Where it is under the mapping's old names: its own, or a fused one.
  std::string new_name;  ///< The same under the new names.
  Kinship kinship;
};

/// Kinship of each projection that `names` joins into a fused tensor or cuts out of one. Both
/// samples are of sources under the mapping's new names.
std::vector<PartKinship> kinship_of_parts(const WeightSample& a, const WeightSample& b,
                                          const NameMapping& names);

/// From this relative distance on, two models are called strangers.
inline constexpr double kStrangerDistance = 0.7;

/// A sample as text and back, for a vector's metadata. `decode` throws FormatError naming `file`.
std::string encode(const WeightSample& sample);
WeightSample decode_weight_sample(const std::string& text, const std::string& file);

}  // namespace suture
