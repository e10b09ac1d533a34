#pragma once

#include <string>
#include <vector>

#include "suture/lora.h"

#include "lora/adapter_writer.h"
#include "surgery/form.h"

namespace suture {

/// How an adapter could hold one tensor of a vector.
enum class Holding {
  kFactors,      ///< Of a linear module's matrix, or of an embedding's.
  kSavedModule,  ///< With its whole module: a norm, an embedding, a head.
  kBias,         ///< As a bias of the base.
  kOwnTensor,    ///< As a tensor of the base: an embedding that the head is tied to.
  kNone,         ///< Not at all.
};

/// A tensor of the vector and where it may go.
struct HeldTensor {
  const TensorInfo* base = nullptr;  ///< As the base has it.
  std::vector<ActiveTerm> terms;
  Holding holding = Holding::kNone;
  std::string reason;  ///< Why it cannot be held.
};

/// The base, as far as it decides where tensors go.
struct AdaptedModel {
  const TensorSource* base = nullptr;
  bool tied = false;  ///< The head is the input embedding.
  bool low_rank_embeddings = false;
};

/// Where PEFT has a place for `tensor`, going by its name and shape.
Holding holding_of(const TensorInfo& tensor, const AdaptedModel& model);

/// True when linear modules of this architecture keep their weights as inputs x outputs.
bool is_fan_in_fan_out(const std::string& architecture);

}  // namespace suture
