#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "suture/compatibility.h"

#include "surgery/form.h"
#include "surgery/kinship.h"
#include "surgery/model_config.h"
#include "surgery/tokenizer_content.h"

namespace suture {

/// Whether the vector's selections reach a tensor of the participant by its own name, in some term.
/// Everything is reached of a model that is no part of a vector.
using Reach = std::function<bool(std::string_view own_name)>;

/// All that is known of one model, or of a stored vector, before its data is read.
struct Participant {
  std::string name;  ///< Printable.
  SourcePtr asked;   ///< As it came.
  SourcePtr source;  ///< Under the reference's names.
  const std::vector<TensorInfo>* tensors = nullptr;
  NameMapping own_mapping;  ///< That it came with, to the names of what it is subtracted from.
  NameMapping mapping;      ///< To the reference's names, which `tensors` then have.
  bool is_vector = false;   ///< Holds differences: may lack tensors, is not compared by dtype.
  bool is_base = false;     ///< Of a vector: what another model is subtracted from.
  const AdapterFacts* adapter = nullptr;  ///< Of a LoRA adapter, which has no config of a model.
  bool has_config = false;
  ModelConfig config;
  std::shared_ptr<const TokenizerContent> tokenizer;
  std::string tokenizer_digest;  ///< Empty when unknown.
  WeightSample sample;
  WeightSample reference_sample;  ///< The reference's under the participant's own names, if needed.
  NameMapping sample_names;       ///< That gave the two samples common names, if it was needed.
  bool own_sample_names = false;  ///< The common names are the participant's own.
  Reach reaches = [](std::string_view) { return true; };
};

/// A model or a stored vector; reads its config, tokenizer and some weights.
Participant participant_of(const SourcePtr& source, TokenizerReader& tokenizers);

/// The same of a source of a vector, which must outlive it: a state dict of differences is no
/// model.
Participant participant_of(const SourcePtr& source, const TaskVector::Form& form,
                           TokenizerReader& tokenizers);

/// Gives a participant the reference's names, as those of `reader` are read: a term's two models
/// are read alike.
void read_names(Participant& participant, const TensorSource& reader, const Participant& reference,
                const CheckOptions& options);

/// The source of a vector whose names say how those of `source` are read.
const TensorSource& reader_of(const SourcePtr& source, const TaskVector::Form& form);

}  // namespace suture
