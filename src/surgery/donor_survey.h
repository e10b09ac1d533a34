#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "surgery/form.h"
#include "surgery/plan.h"

namespace suture {

/// What one reading of the donors found on one tensor of `tuned - base`.
struct SurveyedTensor {
  std::uint64_t changed = 0;           ///< Elements where the difference is not zero.
  std::uint64_t inexact_in_float = 0;  ///< Where base + float32 difference is not tuned to the bit.
  std::uint64_t inexact_in_double = 0;
  std::uint64_t inexact_in_chosen = 0;  ///< With the dtype that the user fixed, if any.
  double squares = 0, base_squares = 0;
};

/// The survey of a whole difference.
struct DonorSurvey {
  std::vector<SurveyedTensor> tensors;    ///< As `outputs` was given.
  double squares = 0, base_squares = 0;   ///< Of all tensors, summed in the order of their names.
  std::string tuned_digest, base_digest;  ///< Of the tensors read, 32 hexadecimal digits.
  std::uint64_t bytes_read = 0;
};

/// Reads both donors of every segment once, with the digests of what was read. `chosen` is a dtype
/// to test for exactness beside float32 and float64. Each segment has one term, a difference.
DonorSurvey survey_donors(const std::vector<OutputTensor>& outputs, std::optional<Dtype> chosen,
                          const RunOptions& options);

}  // namespace suture
