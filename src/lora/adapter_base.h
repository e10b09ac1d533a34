#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "suture/checkpoint.h"
#include "suture/name_mapping.h"

#include "core/tensor_source.h"
#include "lora/adapter_tensors.h"

namespace suture::lora {

/// The base of an adapter, under the names that the adapter has for its tensors.
class AdapterBase {
 public:
  /// Reads the base's names as the adapter's where they differ (names/name_mapping.h). Where
  /// `fan_in_fan_out` contradicts the base's shapes, these decide.
  AdapterBase(const Checkpoint& base, const AdapterTensors& tensors, bool fan_in_fan_out);

  /// Null where there is none. A head that the base does not store is its embedding.
  const TensorInfo* find(const std::string& name) const;

  /// The float tensor `name` of that shape, which the stored tensor of the adapter's `file` is for.
  /// Throws FormatError.
  const TensorInfo& require(const std::string& name, const std::vector<std::int64_t>& shape,
                            const TensorInfo& stored, const std::string& file) const;

  /// As TensorSource::read, for what `find` gives.
  void read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes, void* out) const {
    shown_->read(tensor, begin, bytes, out);
  }

  /// From the adapter's names to the base's own; empty where they are the same.
  const NameMapping& mapping() const { return mapping_; }

 private:
  NameMapping mapping_;
  SourcePtr shown_;
  const TensorInfo* embedding_ = nullptr;
};

}  // namespace suture::lora
