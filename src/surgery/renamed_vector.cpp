#include "surgery/renamed_vector.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "suture/compatibility.h"
#include "suture/error.h"

#include "names/contradicted_heads.h"
#include "names/mapped_source.h"
#include "names/token_matrices.h"
#include "surgery/model_config.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

bool reaches(const NameMapping& mapping, const TensorSource& source) {
  return std::any_of(mapping.tensors.begin(), mapping.tensors.end(), [&](const auto& tensor) {
    return std::any_of(
        tensor.parts.begin(), tensor.parts.end(),
        [&](const NameMapping::Part& part) { return source.find(part.name) != nullptr; });
  });
}

// Renames sources; one that several terms share stays one.
class Renamer {
 public:
  explicit Renamer(const MappingFor& mapping_for) : mapping_for_(mapping_for) {}

  void rename(Term& term) {
    // What a vector lacks it leaves as it is; a model must have it.
    const Absent absent = term.subtrahend ? Absent::kRefused : Absent::kZero;
    const NameMapping mapping = mapping_of_source(*term.minuend, absent);
    if (!reaches(mapping, *term.minuend)) return;
    const std::set<std::string> masked = masked_parts(term, mapping);
    const SourcePtr minuend = rename(term.minuend, mapping, masked, absent);
    if (!term.gates.empty()) term.gates = {scales_under(term, mapping, *minuend)};
    if (term.subtrahend) term.subtrahend = rename(term.subtrahend, mapping, masked, absent);
    term.minuend = minuend;
  }

 private:
  const NameMapping& mapping_of_source(const TensorSource& source, Absent absent) {
    const auto at = mappings_.find({&source, absent});
    if (at != mappings_.end()) return at->second;
    return mappings_.emplace(std::pair{&source, absent}, mapping_for_(source, absent))
        .first->second;
  }

  static std::set<std::string> masked_parts(const Term& term, const NameMapping& mapping) {
    std::set<std::string> masked;
    if (term.gates.empty()) return masked;
    for (const NameMapping::Tensor& tensor : mapping.tensors) {
      if (tensor.parts.size() < 2) continue;
      for (const NameMapping::Part& part : tensor.parts) {
        if (term.gates_on(part.name) == 0) masked.insert(part.name);
      }
    }
    return masked;
  }

  // What the gates make of each tensor of the renamed source.
  static NamedScales scales_under(const Term& term, const NameMapping& mapping,
                                  const TensorSource& renamed) {
    NamedScales scales;
    for (const Gate& gate : term.gates) scales.text += describe_gate(gate);
    for (const NameMapping::Tensor& tensor : mapping.tensors)
      scales.scales.emplace(tensor.name, scale_of(term, tensor));
    for (const TensorInfo& tensor : renamed.tensors())
      scales.scales.emplace(tensor.name, term.gates_on(tensor.name));
    return scales;
  }

  static double scale_of(const Term& term, const NameMapping::Tensor& tensor) {
    double common = 0;
    for (const NameMapping::Part& part : tensor.parts) {
      const double scale = term.gates_on(part.name);
      if (scale == 0 || term.minuend->find(part.name) == nullptr) continue;
      if (common != 0 && scale != common) {
        throw UsageError({term.minuend->name(), tensor.name,
                          "parts of one tensor with different coefficients", "one coefficient",
                          "rename the vector before it is scaled by layer"});
      }
      common = scale;
    }
    return common;
  }

  SourcePtr rename(const SourcePtr& source, const NameMapping& mapping,
                   const std::set<std::string>& masked, Absent absent) {
    SourcePtr& renamed = renamed_[{source.get(), masked}];
    if (!renamed) renamed = rename_source(source, mapping, masked, absent);
    return renamed;
  }

  const MappingFor& mapping_for_;
  std::map<std::pair<const TensorSource*, Absent>, NameMapping> mappings_;
  std::map<std::pair<const TensorSource*, std::set<std::string>>, SourcePtr> renamed_;
};

// What stands beside an adapter says nothing of its base.
const Checkpoint* model_of(const TensorSource& source) {
  const AdapterFacts* adapter = source.adapter();
  if (adapter == nullptr) return source.checkpoint();
  return adapter->base ? &*adapter->base : nullptr;
}

// Whether the source's model uses its embedding as head, where that is known.
std::optional<bool> has_tied_head(const TensorSource& source) {
  const Checkpoint* checkpoint = model_of(source);
  if (checkpoint == nullptr) return std::nullopt;
  if (is_vector(*checkpoint)) {
    const VectorMetadata metadata = require_vector(*checkpoint);
    if (metadata.architecture.empty()) return std::nullopt;
    return metadata.tied_embeddings;
  }
  const auto config = read_model_config(checkpoint->folder());
  if (!config) return std::nullopt;
  return config->tied_embeddings;
}

// Settings that the rows of joined or cut projections must agree with.
std::map<std::string, std::string> structure_of(const TensorSource& source,
                                                const NameMapping& mapping) {
  const Checkpoint* checkpoint = model_of(source);
  if (mapping.empty() || checkpoint == nullptr) return {};
  if (is_vector(*checkpoint)) return require_vector(*checkpoint).structure;
  const auto config = read_model_config(checkpoint->folder());
  return config ? config->structure : std::map<std::string, std::string>();
}

// The embedding of tied donors stands for their head, too.
void add_head(NameMapping& mapping, const TensorSource& source, const TensorSource& target) {
  const TensorInfo* head = language_head_of(target.tensors());
  const TensorInfo* own = token_embedding_of(source.tensors());
  if (head == nullptr || own == nullptr || !has_tied_head(source).value_or(true) ||
      has_tied_head(target).value_or(false) || language_head_of(source.tensors()) != nullptr)
    return;
  const auto at = std::find_if(
      mapping.tensors.begin(), mapping.tensors.end(),
      [&](const NameMapping::Tensor& tensor) { return tensor.parts.front().name == own->name; });
  const NameMapping::Part whole{own->name, 0, own->shape.front()};
  if (at == mapping.tensors.end()) mapping.tensors.push_back({own->name, {whole}});
  mapping.tensors.push_back({head->name, {whole}});
  mapping.rules.push_back(printable(own->name) + " -> " + printable(head->name) +
                          ", too (a tied head)");
}

}  // namespace

TaskVector rename_terms(const TaskVector& vector, const MappingFor& mapping_for) {
  auto form = std::make_shared<TaskVector::Form>(vector.form());
  Renamer renamer(mapping_for);
  for (Term& term : form->terms) renamer.rename(term);
  return TaskVector::of(std::move(form));
}

TaskVector TaskVector::renamed(const NameMapping& mapping) const {
  if (!mapping.problems.empty())
    throw UsageError({{},
                      {},
                      "a mapping with problems: " + mapping.problems.front(),
                      "one without",
                      "mask out what cannot be mapped"});
  return rename_terms(*this, [&](const TensorSource&, Absent) { return mapping; });
}

std::vector<NameMapping> TaskVector::name_mappings() const {
  std::vector<NameMapping> mappings;
  for (const SourcePtr& source : sources_of(*form_)) {
    if (const NameMapping* mapping = mapping_of(*source)) mappings.push_back(*mapping);
  }
  return mappings;
}

NameMapping mapping_onto(const TensorSource& source, const TensorSource& target,
                         const CheckOptions& options, Absent absent) {
  NameMapping mapping = mapping_between(source.tensors(), target.tensors(), absent);
  for (const TensorSource* model : {&source, &target}) {
    const std::string contradiction = contradicted_heads(mapping, structure_of(*model, mapping));
    if (contradiction.empty()) continue;
    mapping = {};
    mapping.problems.push_back(contradiction + " by the config of " + printable(model->name()));
  }
  if (options.head == HeadPolicy::kEmbedding && mapping.problems.empty())
    add_head(mapping, source, target);
  return mapping;
}

TaskVector under_names_of(const Checkpoint& target, const TaskVector& vector,
                          const CheckOptions& options) {
  const SourcePtr source = make_source(target);
  return rename_terms(vector, [&](const TensorSource& donor, Absent absent) {
    return mapping_onto(donor, *source, options, absent);
  });
}

std::vector<TensorInfo> tensors_of(const TaskVector& vector) {
  std::vector<TensorInfo> tensors;
  std::set<std::string> known;
  for (const Term& term : vector.form().terms) {
    for (const TensorInfo& tensor : term.minuend->tensors()) {
      if (known.insert(tensor.name).second) tensors.push_back(tensor);
    }
  }
  return tensors;
}

NameMapping mapping_between(const TaskVector& from, const std::vector<TensorInfo>& to) {
  const auto& terms = from.form().terms;
  const bool is_whole = std::any_of(terms.begin(), terms.end(),
                                    [](const Term& term) { return term.subtrahend != nullptr; });
  return mapping_between(tensors_of(from), to, is_whole ? Absent::kRefused : Absent::kZero);
}

NameMapping mapping_between(const TaskVector& from, const Checkpoint& to) {
  return mapping_between(from, to.tensors());
}

}  // namespace suture
