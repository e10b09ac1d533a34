#include "surgery/form.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <utility>

#include "suture/error.h"

#include "names/mapped_source.h"
#include "surgery/renamed_vector.h"

namespace suture {
namespace {

// Every way in which two sources do not subtract, at once.
class DifferenceCheck {
 public:
  DifferenceCheck(const TensorSource& tuned, const TensorSource& base)
      : tuned_(tuned), base_(base) {}

  void require() {
    for (const TensorInfo& tensor : tuned_.tensors()) compare(tensor);
    for (const TensorInfo& tensor : base_.tensors()) {
      if (tuned_.find(tensor.name) == nullptr) note(tensor.name, "only in " + base_.name());
    }
    if (count_ > kMaxShown) problems_ += ", ...";
    if (count_ > 0) {
      throw CompatibilityError({tuned_.name() + " - " + base_.name(),
                                {},
                                std::to_string(count_) + " tensors do not subtract: " + problems_,
                                "the same tensors in both",
                                "run `suture check` on the two for the whole list"});
    }
  }

 private:
  static constexpr std::size_t kMaxShown = 8;

  void compare(const TensorInfo& tensor) {
    const TensorInfo* other = base_.find(tensor.name);
    if (other == nullptr) {
      note(tensor.name, "only in " + tuned_.name());
    } else if (other->shape != tensor.shape) {
      note(tensor.name, to_string(tensor.shape) + " against " + to_string(other->shape));
    } else if (is_computable(tensor.dtype) != is_computable(other->dtype)) {
      note(tensor.name,
           std::string(name_of(tensor.dtype)) + " against " + std::string(name_of(other->dtype)));
    }
  }

  void note(const std::string& tensor, const std::string& problem) {
    if (count_++ < kMaxShown)
      problems_ += (count_ > 1 ? ", " : "") + printable(tensor) + " (" + problem + ")";
  }

  const TensorSource& tuned_;
  const TensorSource& base_;
  std::size_t count_ = 0;
  std::string problems_;
};

double gate_scale(const Gate& gate, std::string_view tensor_name) {
  if (const auto* selection = std::get_if<Selection>(&gate)) {
    return selection->matches(tensor_name) ? 1 : 0;
  }
  if (const auto* named = std::get_if<NamedScales>(&gate)) {
    const auto at = named->scales.find(tensor_name);
    return at == named->scales.end() ? 0 : at->second;
  }
  const auto& scales = std::get<LayerScales>(gate);
  const Site site = site_of(tensor_name);
  return site.layer ? scales.layers.at(static_cast<std::size_t>(*site.layer))
                    : scales.outside_layers;
}

std::optional<ActiveTerm> active_term(const Term& term, std::string_view tensor_name) {
  const TensorInfo* minuend = term.minuend->find(tensor_name);
  if (minuend == nullptr || !is_computable(minuend->dtype)) return {};
  const TensorInfo* subtrahend = term.subtrahend ? term.subtrahend->find(tensor_name) : nullptr;
  if (term.subtrahend && (subtrahend == nullptr || !is_computable(subtrahend->dtype))) return {};
  ActiveTerm found;
  found.scale = term.scale_on(tensor_name);
  if (found.scale == 0) return {};
  if (!(std::abs(found.scale) <= std::numeric_limits<float>::max())) {
    throw UsageError({{},
                      std::string(tensor_name),
                      "a scale of " + scale_text(found.scale),
                      "one that float32 can hold",
                      {}});
  }
  found.minuend_source = term.minuend.get();
  found.minuend = minuend;
  found.subtrahend_source = term.subtrahend.get();
  found.subtrahend = subtrahend;
  return found;
}

}  // namespace

std::string scale_text(double scale) {
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", scale);
  return text;
}

std::shared_ptr<const TaskVector::Form> single_term(SourcePtr minuend, SourcePtr subtrahend) {
  return std::make_shared<const TaskVector::Form>(
      TaskVector::Form{{Term{1, std::move(minuend), std::move(subtrahend), {}}}});
}

SourcePtr under_names_of(SourcePtr tuned, const TensorSource& base) {
  const NameMapping mapping = mapping_onto(*tuned, base, {}, Absent::kRefused);
  return mapping.empty() ? tuned : rename_source(std::move(tuned), mapping);
}

std::shared_ptr<const TaskVector::Form> difference_of(SourcePtr tuned, SourcePtr base) {
  tuned = under_names_of(std::move(tuned), *base);
  DifferenceCheck(*tuned, *base).require();
  return single_term(std::move(tuned), std::move(base));
}

double Term::gates_on(std::string_view tensor_name) const {
  double scale = 1;
  for (const Gate& gate : gates) {
    if (scale == 0) break;
    scale *= gate_scale(gate, tensor_name);
  }
  return scale;
}

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
  for (const Term& term : form.terms)
    if (const auto found = active_term(term, tensor_name)) active.push_back(*found);
  return active;
}

std::vector<ActiveTerm> active_terms(const TaskVector::Form& form,
                                     const std::vector<std::string>& tensor_names) {
  std::vector<ActiveTerm> active;
  for (const Term& term : form.terms) {
    for (const std::string& name : tensor_names) {
      const auto found = active_term(term, name);
      if (!found) continue;
      active.push_back(*found);
      break;
    }
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
