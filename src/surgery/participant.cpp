#include "surgery/participant.h"

#include <algorithm>
#include <utility>

#include "suture/error.h"

#include "names/mapped_source.h"
#include "names/name_mapping.h"
#include "surgery/renamed_vector.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

Participant model_participant(const TensorSource& source, TokenizerReader& tokenizers) {
  Participant participant;
  participant.name = printable(source.name());
  participant.tensors = &source.tensors();
  participant.sample = sample_weights(source);
  if (const Checkpoint* checkpoint = source.checkpoint()) {
    if (auto config = read_model_config(checkpoint->folder())) {
      participant.has_config = true;
      participant.config = std::move(*config);
    }
    participant.tokenizer = tokenizers.read(checkpoint->folder());
    if (participant.tokenizer)
      participant.tokenizer_digest = to_hex(participant.tokenizer->digest());
  }
  return participant;
}

Participant vector_participant(const TensorSource& source, TokenizerReader& tokenizers) {
  const VectorMetadata metadata = require_vector(*source.checkpoint());
  Participant participant;
  participant.name = printable(source.name());
  participant.tensors = &source.tensors();
  participant.is_vector = true;
  participant.has_config = !metadata.architecture.empty();
  participant.config.architecture = metadata.architecture;
  participant.config.tied_embeddings = metadata.tied_embeddings;
  participant.config.structure = metadata.structure;
  participant.config.meaning = metadata.meaning;
  participant.tokenizer = tokenizers.read(source.checkpoint()->folder());
  participant.tokenizer_digest = metadata.tokenizer_digest;
  participant.sample = metadata.base_sample;
  return participant;
}

// What stands beside an adapter says little of a model; its base, where it is given, says all.
Participant adapter_participant(const TensorSource& source, TokenizerReader& tokenizers) {
  Participant participant;
  const AdapterFacts& facts = *source.adapter();
  if (facts.base) participant = model_participant(*make_source(*facts.base), tokenizers);
  participant.name = printable(source.name());
  participant.tensors = &source.tensors();
  participant.is_vector = true;
  participant.adapter = &facts;
  if (const auto own = tokenizers.read(source.checkpoint()->folder())) {
    participant.tokenizer = own;
    participant.tokenizer_digest = to_hex(own->digest());
  }
  return participant;
}

Participant plain_participant(const TensorSource& source, TokenizerReader& tokenizers) {
  if (source.adapter() != nullptr) return adapter_participant(source, tokenizers);
  const bool stored_vector = source.checkpoint() != nullptr && is_vector(*source.checkpoint());
  return stored_vector ? vector_participant(source, tokenizers)
                       : model_participant(source, tokenizers);
}

// A state dict of differences is no model: it has no kin, and may lack tensors.
bool holds_differences(const TensorSource& source, const TaskVector::Form& form) {
  return std::any_of(form.terms.begin(), form.terms.end(), [&](const Term& term) {
    return term.minuend.get() == &source && !term.subtrahend;
  });
}

Reach reach_of(const SourcePtr& source, const TaskVector::Form& form) {
  return [source, &form](std::string_view own_name) {
    return std::any_of(form.terms.begin(), form.terms.end(), [&](const Term& term) {
      return (term.minuend == source || term.subtrahend == source) && term.gates_on(own_name) != 0;
    });
  };
}

}  // namespace

Participant participant_of(const SourcePtr& source, TokenizerReader& tokenizers) {
  Participant participant = plain_participant(*source, tokenizers);
  participant.asked = participant.source = source;
  if (const NameMapping* mapping = mapping_of(*source)) participant.own_mapping = *mapping;
  return participant;
}

Participant participant_of(const SourcePtr& source, const TaskVector::Form& form,
                           TokenizerReader& tokenizers) {
  Participant participant = participant_of(source, tokenizers);
  participant.reaches = reach_of(source, form);
  participant.is_base = std::any_of(form.terms.begin(), form.terms.end(),
                                    [&](const Term& term) { return term.subtrahend == source; });
  if (!participant.is_vector && holds_differences(*source, form)) {
    participant.is_vector = true;
    participant.sample = {};
  }
  return participant;
}

namespace {

// A stored vector that was renamed knows its base's weights by the names in its file.
void sample_under_stored_names(Participant& participant, const Participant& reference) {
  if (participant.own_mapping.empty() || participant.sample.empty() || !participant.is_vector ||
      participant.adapter != nullptr || reference.is_vector)
    return;
  participant.sample_names = inverse_of(participant.own_mapping, *reference.tensors);
  participant.reference_sample =
      sample_weights(*rename_source(reference.source, participant.sample_names, {}, Absent::kZero));
}

}  // namespace

void read_names(Participant& participant, const TensorSource& reader, const Participant& reference,
                const CheckOptions& options) {
  const Absent absent = participant.is_vector ? Absent::kZero : Absent::kRefused;
  participant.mapping = mapping_onto(reader, *reference.source, options, absent);
  if (participant.mapping.empty()) return sample_under_stored_names(participant, reference);
  // Weights that stand for a tied head are none of its kin.
  const NameMapping names = mapping_onto(reader, *reference.source, {}, absent);
  if (!participant.is_vector) {
    participant.sample = sample_weights(*rename_source(participant.source, names));
    participant.sample_names = names;
  } else if (reference.is_vector) {
    participant.sample = {};  // of neither are weights at hand to be read under other names
  } else if (!participant.sample.empty()) {
    participant.sample_names = inverse_of(names, *reference.tensors);
    participant.own_sample_names = true;
    participant.reference_sample =
        sample_weights(*rename_source(reference.source, participant.sample_names));
  }
  participant.source = rename_source(participant.source, participant.mapping, {}, absent);
  participant.tensors = &participant.source->tensors();
}

const TensorSource& reader_of(const SourcePtr& source, const TaskVector::Form& form) {
  for (const Term& term : form.terms)
    if (term.minuend == source) return *source;
  for (const Term& term : form.terms)
    if (term.subtrahend == source) return *term.minuend;
  return *source;
}

}  // namespace suture
