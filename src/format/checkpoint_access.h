#pragma once

#include <cstdint>

#include "suture/checkpoint.h"

#include "format/file.h"

namespace suture {

/// The open files behind a checkpoint, for the parts of the library that copy bytes without reading
/// them.
struct CheckpointAccess {
  static const format::File& file(const Checkpoint& checkpoint, std::uint32_t index);
};

}  // namespace suture
