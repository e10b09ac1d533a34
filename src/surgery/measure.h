#pragma once

#include <string>
#include <vector>

#include "kernels/statistics.h"
#include "surgery/form.h"

namespace suture {

/// A vector to be measured, and the model that its norms are relative to, if any.
struct MeasuredVector {
  TaskVector vector;
  SourcePtr base;
};

/// What one pass found on one tensor.
struct TensorMeasures {
  std::string name;
  std::vector<std::int64_t> shape;
  std::uint64_t elements = 0;
  std::vector<kernels::ValueStatistics>
      values;                                  ///< By vector; all zero where it has no such tensor.
  std::vector<double> base_squares;            ///< By vector; negative where no base is known.
  std::vector<kernels::PairStatistics> pairs;  ///< (0,1), (0,2), (1,2), ... over the vectors.
};

/// Position of pair (i, j), i < j, in `TensorMeasures::pairs`.
inline std::size_t pair_position(std::size_t i, std::size_t j) { return j * (j - 1) / 2 + i; }

/// Positions of the tensors in the order of their names, in which sums over tensors are taken, so
/// that they do not depend on how a model was cut into shards.
std::vector<std::size_t> in_name_order(const std::vector<TensorMeasures>& tensors);

/// The base's tensor that goes with a measured one; null when there is none of that shape to
/// compute with.
const TensorInfo* usable_base(const MeasuredVector& measured, const TensorMeasures& tensor);

/// Measures vectors that lie in a device's memory; false when these do not. Installed by the first
/// vector over state dicts, so that a program which only reads files need not load LibTorch.
using MeasureResident = bool (*)(const std::vector<MeasuredVector>&, std::vector<TensorMeasures>&,
                                 const RunOptions&);
void install_measure_resident(MeasureResident measure);

/// Measures all vectors in one streaming pass over their sources; tensors in the order of the first
/// vector, then of those that only later ones have. Throws CompatibilityError when two vectors give
/// one name different shapes, IoError, Interrupted.
std::vector<TensorMeasures> measure(const std::vector<MeasuredVector>& vectors,
                                    const RunOptions& options);

}  // namespace suture
