#include "surgery/form.h"

#include <algorithm>

namespace suture {
namespace {

double gate_scale(const Gate& gate, std::string_view tensor_name) {
  if (const auto* selection = std::get_if<Selection>(&gate)) {
    return selection->matches(tensor_name) ? 1 : 0;
  }
  const auto& scales = std::get<LayerScales>(gate);
  const Site site = site_of(tensor_name);
  return site.layer ? scales.layers.at(static_cast<std::size_t>(*site.layer))
                    : scales.outside_layers;
}

}  // namespace

double Term::scale_on(std::string_view tensor_name) const {
  double scale = coefficient;
  for (const Gate& gate : gates) {
    if (scale == 0) break;
    scale *= gate_scale(gate, tensor_name);
  }
  return scale;
}

std::vector<ActiveTerm> active_terms(const TaskVector::Form& form, std::string_view tensor_name) {
  std::vector<ActiveTerm> active;
  for (const Term& term : form.terms) {
    const TensorInfo* minuend = term.minuend->find(tensor_name);
    if (minuend == nullptr || !is_computable(minuend->dtype)) continue;
    const TensorInfo* subtrahend = term.subtrahend ? term.subtrahend->find(tensor_name) : nullptr;
    if (term.subtrahend && (subtrahend == nullptr || !is_computable(subtrahend->dtype))) continue;
    const double scale = term.scale_on(tensor_name);
    if (scale == 0) continue;
    ActiveTerm found;
    found.scale = scale;
    found.minuend_source = term.minuend.get();
    found.minuend = minuend;
    found.subtrahend_source = term.subtrahend.get();
    found.subtrahend = subtrahend;
    active.push_back(found);
  }
  return active;
}

Dtype sum_dtype(const std::vector<ActiveTerm>& terms) {
  const bool has_double = std::any_of(terms.begin(), terms.end(), [](const ActiveTerm& term) {
    return term.minuend->dtype == Dtype::kF64 ||
           (term.subtrahend != nullptr && term.subtrahend->dtype == Dtype::kF64);
  });
  return has_double ? Dtype::kF64 : Dtype::kF32;
}

std::vector<SourcePtr> sources_of(const TaskVector::Form& form) {
  std::vector<SourcePtr> sources;
  for (const Term& term : form.terms) {
    for (const SourcePtr& source : {term.minuend, term.subtrahend}) {
      if (source && std::find(sources.begin(), sources.end(), source) == sources.end())
        sources.push_back(source);
    }
  }
  return sources;
}

}  // namespace suture
