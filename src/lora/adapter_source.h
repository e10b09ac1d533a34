#pragma once

#include <optional>
#include <string>

#include "suture/checkpoint.h"

#include "core/tensor_source.h"

namespace suture::lora {

/// True when `location` names a PEFT adapter: see format/adapter_folder.h.
bool is_adapter(const std::string& location);

/// A PEFT LoRA adapter as a source of float32 differences under the base's tensor names: what
/// PEFT's own merge would add to each. A weight's difference is scale · B·A, transposed where the
/// weight is stored as inputs × outputs and for embeddings; a bias of `lora_B` gives scale · bias.
/// The factors are held in memory as float32; elements are computed as they are read, each as
/// `kernels::low_rank_product` says.
///
/// Tensors that the adapter stores whole (modules to save, biases, embeddings) are differences from
/// `base`, which must then be given; to such a difference that of factors is added where there is
/// both. With a base, every tensor must be one of the base's, of its shape; where the base has
/// other names that the adapter's can be read as (names/name_mapping.h), the source has the base's.
/// A head that the base does not store is told from its embedding. An embedding that is the base's
/// own, and a tied head that is a copy of its embedding, are left out.
///
/// Throws UsageError when there is no adapter, when it is not linear (DoRA, ...; see
/// `parse_adapter_config`) or stores whole tensors and there is no base; FormatError for damaged
/// files and factors that do not fit each other, the config or the base; IoError.
SourcePtr open_adapter(const std::string& location, const std::optional<Checkpoint>& base);

}  // namespace suture::lora
