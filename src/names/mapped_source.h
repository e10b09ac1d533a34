#pragma once

#include <set>
#include <string>

#include "core/tensor_source.h"
#include "names/name_mapping.h"

namespace suture {

/// A source under other names: the same bytes renamed, rows of a tensor, or tensors below one
/// another; tensors that the mapping does not speak of stay as they are. Renamed tensors and rows
/// stand in a file as before, and are read in place. A joined tensor has the dtype of its parts,
/// or, where they differ, the narrowest of f32 and f64 that holds them all; none of it is kept in
/// memory. A mapped tensor of which the source has no part is left out.
///
/// In joined tensors the parts in `masked`, by their own names, read as zeros, and so do parts that
/// are absent, if they may be.
///
/// Throws UsageError when a part is absent beside others and may not be, its rows are not there,
/// parts do not stack, or two tensors get one name.
SourcePtr rename_source(SourcePtr source, const NameMapping& mapping,
                        const std::set<std::string>& masked = {}, Absent absent = Absent::kRefused);

/// The mapping that a source is seen through, or null.
const NameMapping* mapping_of(const TensorSource& source);

}  // namespace suture
