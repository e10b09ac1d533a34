#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "suture/compatibility.h"
#include "suture/run_options.h"
#include "suture/task_vector.h"

namespace suture {

/// Magnitudes are counted by binary exponent: `counts[i]` holds 2^(i + first_exponent) <= |x| <
/// twice that; the first and the last also hold what lies beyond.
struct MagnitudeHistogram {
  int first_exponent = 0;
  std::vector<std::uint64_t> counts;
};

/// One vector on one part of the model. Values that are NaN or infinite are counted, and left out
/// of all else.
struct VectorStatistics {
  std::uint64_t elements = 0;
  std::uint64_t changed = 0;            ///< Not zero.
  std::uint64_t non_finite = 0;         ///< NaN or infinite.
  double norm = 0;                      ///< L2.
  double rms = 0;                       ///< norm / sqrt(elements).
  double max = 0;                       ///< Largest magnitude.
  std::optional<double> base_norm;      ///< L2 norm of the base there, where a base is known.
  std::optional<double> relative_norm;  ///< norm / base_norm.
  MagnitudeHistogram histogram;         ///< Of what is not zero.

  /// changed / elements; 0 for no elements.
  double changed_share() const;
};

/// Two vectors on one part of the model.
struct PairStatistics {
  double cosine = 0;  ///< 0 where one of them is zero.
  std::uint64_t both_changed =
      0;                      ///< Elements where neither is zero: those that signs are counted on.
  double sign_agreement = 0;  ///< Share of those with equal signs.
  double sign_agreement_by_chance =
      0;  ///< The share that independent signs of the same balance give.
};

/// One part of the model: a tensor, a module, a block, a layer, or all of it.
struct AnalysisRow {
  std::string name;  ///< `model.layers.3.mlp.up_proj.weight`, `up_proj`, `mlp`, `3`, ...
  std::vector<VectorStatistics> vectors;  ///< By vector.
  std::vector<PairStatistics> pairs;      ///< By pair, in the order of `Analysis::pairs`.
  std::vector<std::int64_t> shape = {};   ///< Of a tensor; empty for other parts.
};

/// What one streaming pass found on one or more vectors.
struct Analysis {
  std::vector<std::string> vectors;                        ///< Names, as given.
  std::vector<std::pair<std::size_t, std::size_t>> pairs;  ///< (0,1), (0,2), (1,2), ...
  std::vector<AnalysisRow> tensors;                        ///< In the vectors' order.
  std::vector<AnalysisRow> modules;  ///< Over all layers, in order of appearance.
  std::vector<AnalysisRow> blocks;
  std::vector<AnalysisRow> layers;  ///< Named `0`, `1`, ...; then `outside` for the rest, if any.
  AnalysisRow total;
};

/// A vector to analyse.
struct AnalyzedVector {
  std::string name;
  TaskVector vector;
  /// What relative norms are relative to, under the vector's names where one reading of its own is
  /// clear. By default the base that the vector was formed with, or the base norms that a stored
  /// vector carries.
  std::optional<Checkpoint> base;
};

/// Vectors under the names of the first, which `analyze` compares by name.
struct CommonNames {
  std::vector<AnalyzedVector> vectors;
  std::vector<NamesRead> names;  ///< Empty where all names agree, bases' included.
  /// Why some are as they were although their names look related: what has no name in common is
  /// not compared.
  std::vector<std::string> problems;
};

/// Reads the names of vectors as those of the first where one reading is clear
/// (suture/name_mapping.h), and tells of the bases that `analyze` will read so. Throws UsageError
/// where coefficients by layer stand in the way.
CommonNames under_common_names(std::vector<AnalyzedVector> vectors);

/// Measures all vectors in one streaming pass, sums in float64 by the numerics contract: the result
/// is the same for any number of threads and any memory budget. Throws UsageError for no vector,
/// CompatibilityError for vectors of different shapes, IoError, Interrupted.
Analysis analyze(const std::vector<AnalyzedVector>& vectors, const RunOptions& options = {});

}  // namespace suture
