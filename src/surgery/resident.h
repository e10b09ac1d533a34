#pragma once

#include <vector>

#include <c10/core/Device.h>

#include "kernels/linear_form.h"
#include "surgery/form.h"

namespace suture {

/// The elements of a source's tensor where they lie in a device's memory; `data` is null when they
/// do not. `shift` is in elements.
kernels::StoredTile resident_tile(const TensorSource& source, const TensorInfo& tensor,
                                  std::int64_t shift, c10::Device device);

/// True when every operand of the terms lies in the device's memory.
bool are_resident(const std::vector<ActiveTerm>& terms, c10::Device device);

/// The terms over whole tensors whose operands are resident.
std::vector<kernels::TermTile> resident_terms(const std::vector<ActiveTerm>& terms,
                                              c10::Device device);

}  // namespace suture
