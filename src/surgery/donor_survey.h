#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/difference.h"
#include "stream/weights_writer.h"
#include "surgery/form.h"
#include "surgery/plan.h"

namespace suture {

/// What one reading of the donors found on one tensor of `tuned - base`.
struct SurveyedTensor {
  kernels::DifferenceFindings findings;
  /// Stored elements that are not +0, by block of 65,536; empty unless asked for.
  std::vector<std::uint64_t> block_values;
};

/// The survey of a whole difference.
struct DonorSurvey {
  std::vector<SurveyedTensor> tensors;    ///< As `outputs` was given.
  double squares = 0, base_squares = 0;   ///< Of all tensors, summed in the order of their names.
  std::string tuned_digest, base_digest;  ///< Of the tensors read, 32 hexadecimal digits.
};

/// What a survey does beside measuring.
struct SurveyOptions {
  std::optional<Dtype> chosen;  ///< A dtype to test for exactness beside float32 and float64.
  bool count_values = false;    ///< Fill `block_values` for tensors of one segment.
  /// The minuends are differences already: they are written as they are, and the subtrahends, read
  /// for digest and norm alone, are what they are added to.
  bool minuend_is_difference = false;
  /// Where to write each tensor along the way, in its `info.dtype`. Unless the dtype is `chosen`,
  /// writing ends once some tensor turns out to need a wider one; what was written is then of no
  /// use.
  stream::WeightsWriter* writer = nullptr;
};

/// True when a tensor of the sum is computed in float64: one of its operands is float64.
bool computes_in_double(const OutputTensor& output);

/// Reads both donors of every segment once, with the digests of what was read. Each segment has one
/// term, a difference, or none, for zeros. Throws IoError, Interrupted.
DonorSurvey survey_donors(const std::vector<OutputTensor>& outputs, const SurveyOptions& survey,
                          const RunOptions& options);

}  // namespace suture
