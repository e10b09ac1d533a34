#pragma once

#include <cstdint>

#include "suture/checkpoint.h"

#include "format/adapter_folder.h"
#include "format/file.h"

namespace suture {

/// The open files behind a checkpoint, for the parts of the library that copy bytes without reading
/// them, and files that are no models.
struct CheckpointAccess {
  static const format::File& file(const Checkpoint& checkpoint, std::uint32_t index);

  /// The weights of an adapter as they are stored, which `Checkpoint::open` takes for no model.
  static Checkpoint open_adapter(const format::AdapterFiles& files, const std::string& location);
};

}  // namespace suture
