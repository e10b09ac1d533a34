#pragma once

#include <map>
#include <string>

#include "suture/checkpoint.h"

namespace suture::lora {

/// The stored tensors of one module's factors, by PEFT's names for them. A null one is not there.
struct StoredFactors {
  const TensorInfo* a = nullptr;     ///< `lora_A.weight`, [rank, inputs], or `lora_embedding_A`.
  const TensorInfo* b = nullptr;     ///< `lora_B.weight`, [outputs, rank], or `lora_embedding_B`.
  const TensorInfo* bias = nullptr;  ///< `lora_B.bias`, [outputs].
  bool embedding = false;            ///< A is [rank, tokens], B is [width, rank].
};

/// What an adapter's file holds.
struct AdapterTensors {
  std::map<std::string, StoredFactors> factors;    ///< By module name, without PEFT's prefix.
  std::map<std::string, const TensorInfo*> whole;  ///< By the base's tensor name.
};

/// Sorts the tensors of an adapter's file by what they are, and checks that both factors are there,
/// that they are matrices and that they fit each other. Throws FormatError for those that do not,
/// for names that PEFT does not give and for dtypes other than bf16, f16 and f32; UsageError for
/// DoRA and other kinds of parts.
AdapterTensors sort_adapter_tensors(const Checkpoint& weights);

}  // namespace suture::lora
