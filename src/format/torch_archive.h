#pragma once

#include <vector>

#include "suture/tensor_info.h"

#include "format/file.h"

namespace suture::format {

/// The tensors of a file that Python's `torch.save` wrote (zip with pickle inside), found without
/// executing anything: see pickle.h for what is understood and zip.h for what is refused.
///
/// A state dict may be the root itself, an OrderedDict, or nested under `state_dict` or `model`.
/// Nested dictionaries join their keys with dots; values that are not tensors (step counters,
/// options) are ignored. Every tensor's element range is inside its storage record, whose size is
/// the declared one. `offset` is the file position of the first element, `strides` is empty for a
/// dense row-major tensor. `file` is 0.
///
/// Throws FormatError naming the file, the tensor where there is one, and the reason.
std::vector<TensorInfo> read_torch_archive(const File& file);

/// True when the file begins as a zip archive does.
bool looks_like_zip(const File& file);

}  // namespace suture::format
