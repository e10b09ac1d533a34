#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace suture {

/// What rounding made of a change. Wanted is the vector as it was scaled and masked, realised is
/// `round(target + vector) - target`: in bf16, small updates are lost or doubled by rounding.
struct RealisedChange {
  std::uint64_t elements = 0;    ///< That the vector reaches.
  std::uint64_t changed = 0;     ///< Of those, elements whose stored value is another than before.
  std::uint64_t non_finite = 0;  ///< Of those, finite ones that became NaN or infinite.
  double wanted_norm = 0, realised_norm = 0;  ///< L2.
  double cosine = 0;                          ///< Between the two; 0 where one of them is zero.

  /// changed / elements; 0 where the vector reaches nothing.
  double changed_share() const {
    return elements > 0 ? static_cast<double>(changed) / static_cast<double>(elements) : 0;
  }
  /// Realised by wanted; 0 where nothing was wanted.
  double norm_ratio() const { return wanted_norm > 0 ? realised_norm / wanted_norm : 0; }

  /// True when the result is not what was wanted: a cosine below 0.9, or a norm that is off by more
  /// than a quarter.
  bool is_poor() const {
    return wanted_norm > 0 && (cosine < 0.9 || norm_ratio() < 0.75 || norm_ratio() > 1.25);
  }
};

/// The same for a whole injection. Rows copied from another model are realised as they are and not
/// counted; NaN and infinite elements are left out of norms and cosines.
struct RealisedChanges {
  RealisedChange total;
  std::vector<RealisedChange> layers;  ///< By layer index.
  RealisedChange outside_layers;       ///< Embedding, final norm, head, ...
  std::vector<std::pair<std::string, RealisedChange>> tensors;  ///< That are reached, by name.
};

}  // namespace suture
