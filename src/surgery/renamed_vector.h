#pragma once

#include <functional>
#include <vector>

#include "suture/compatibility.h"

#include "names/name_mapping.h"
#include "surgery/form.h"

namespace suture {

/// The mapping for a source of a vector, of which projections may be absent or not.
using MappingFor = std::function<NameMapping(const TensorSource& source, Absent absent)>;

/// A vector whose terms are renamed, each by the mapping that `mapping_for` gives for its minuend;
/// one that is empty leaves its term as it is. Masks and coefficients go with the tensors that they
/// were made for: of a joined tensor, parts that are masked out are zero. Throws UsageError for a
/// mapping that does not fit a source, or joins tensors with different coefficients.
TaskVector rename_terms(const TaskVector& vector, const MappingFor& mapping_for);

/// The tensors of all terms, each once: of a vector under names of several models, all of these.
std::vector<TensorInfo> tensors_of(const TaskVector& vector);

/// How a source's tensors are found in a target, with the head that tied donors imply if `options`
/// ask for it.
NameMapping mapping_onto(const TensorSource& source, const TensorSource& target,
                         const CheckOptions& options, Absent absent);

}  // namespace suture
