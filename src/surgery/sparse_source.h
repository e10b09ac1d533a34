#pragma once

#include "core/tensor_source.h"

namespace suture {

/// A checkpoint as a source of dense tensors: for a vector with sparse tensors, one that shows them
/// as the dense ones they stand for and expands what is read, a block at a time; else the
/// checkpoint itself. Reads the offset tables of sparse tensors, and nothing else.
///
/// Throws FormatError, naming file and tensor, when the parts of a sparse tensor are missing, have
/// another dtype or length than its shape demands, or its table is not monotone or does not end
/// with the values there are, or when there are parts of a tensor that the vector's metadata does
/// not list as sparse. `read` throws it when a bitmap and the table disagree.
SourcePtr open_source(const Checkpoint& checkpoint);

}  // namespace suture
