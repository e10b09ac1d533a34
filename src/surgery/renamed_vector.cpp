#include "surgery/renamed_vector.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "suture/compatibility.h"
#include "suture/error.h"
#include "suture/site.h"

#include "names/contradicted_heads.h"
#include "names/mapped_source.h"
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
  explicit Renamer(const std::function<NameMapping(const TensorSource&)>& mapping_for)
      : mapping_for_(mapping_for) {}

  void rename(Term& term) {
    const NameMapping mapping = mapping_of_source(*term.minuend);
    if (!reaches(mapping, *term.minuend)) return;
    const std::set<std::string> masked = masked_parts(term, mapping);
    // What a vector lacks it leaves as it is; a model must have it.
    const Absent absent = term.subtrahend ? Absent::kRefused : Absent::kZero;
    const SourcePtr minuend = rename(term.minuend, mapping, masked, absent);
    if (!term.gates.empty()) term.gates = {scales_under(term, mapping, *minuend)};
    if (term.subtrahend) term.subtrahend = rename(term.subtrahend, mapping, masked, absent);
    term.minuend = minuend;
  }

 private:
  const NameMapping& mapping_of_source(const TensorSource& source) {
    const auto at = mappings_.find(&source);
    if (at != mappings_.end()) return at->second;
    return mappings_.emplace(&source, mapping_for_(source)).first->second;
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

  const std::function<NameMapping(const TensorSource&)>& mapping_for_;
  std::unordered_map<const TensorSource*, NameMapping> mappings_;
  std::map<std::pair<const TensorSource*, std::set<std::string>>, SourcePtr> renamed_;
};

// Whether the source's model uses its embedding as head, where that is known.
std::optional<bool> has_tied_head(const TensorSource& source) {
  const Checkpoint* checkpoint = source.checkpoint();
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
  const Checkpoint* checkpoint = source.checkpoint();
  if (mapping.empty() || checkpoint == nullptr) return {};
  if (is_vector(*checkpoint)) return require_vector(*checkpoint).structure;
  const auto config = read_model_config(checkpoint->folder());
  return config ? config->structure : std::map<std::string, std::string>();
}

// Differences by themselves, not a model.
bool is_vector_source(const TensorSource& source) {
  return source.adapter() != nullptr ||
         (source.checkpoint() != nullptr && is_vector(*source.checkpoint()));
}

const TensorInfo* only_tensor_of(const std::vector<TensorInfo>& tensors, Block block) {
  const TensorInfo* found = nullptr;
  for (const TensorInfo& tensor : tensors) {
    const bool is_matrix = tensor.shape.size() == 2 && site_of(tensor.name).block == block;
    if (!is_matrix) continue;
    if (found != nullptr) return nullptr;
    found = &tensor;
  }
  return found;
}

// The embedding of tied donors stands for their head, too.
void add_head(NameMapping& mapping, const TensorSource& source, const TensorSource& target) {
  const TensorInfo* head = only_tensor_of(target.tensors(), Block::kHead);
  const TensorInfo* own = only_tensor_of(source.tensors(), Block::kEmbedding);
  if (head == nullptr || own == nullptr || !has_tied_head(source).value_or(true) ||
      has_tied_head(target).value_or(false) ||
      only_tensor_of(source.tensors(), Block::kHead) != nullptr)
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

TaskVector rename_terms(const TaskVector& vector,
                        const std::function<NameMapping(const TensorSource&)>& mapping_for) {
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
  return rename_terms(*this, [&](const TensorSource&) { return mapping; });
}

std::vector<NameMapping> TaskVector::name_mappings() const {
  std::vector<NameMapping> mappings;
  for (const SourcePtr& source : sources_of(*form_)) {
    if (const NameMapping* mapping = mapping_of(*source)) mappings.push_back(*mapping);
  }
  return mappings;
}

NameMapping mapping_onto(const TensorSource& source, const TensorSource& target,
                         const CheckOptions& options) {
  NameMapping mapping =
      mapping_between(source.tensors(), target.tensors(),
                      is_vector_source(source) ? Absent::kZero : Absent::kRefused);
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
  return rename_terms(
      vector, [&](const TensorSource& donor) { return mapping_onto(donor, *source, options); });
}

namespace {

// The tensors of all terms once.
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

}  // namespace

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
