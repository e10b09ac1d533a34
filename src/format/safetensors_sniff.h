#pragma once

#include "format/file.h"

namespace suture::format {

/// Throws FormatError with a hint when the file is plainly something else under a safetensors name:
/// a git-LFS pointer, an HTML error page, a zip, gzip or GGUF file.
void refuse_lookalikes(const File& file);

}  // namespace suture::format
