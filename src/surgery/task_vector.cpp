#include "suture/task_vector.h"

#include <cmath>
#include <unordered_set>
#include <utility>

#include "suture/error.h"

#include "lora/adapter_source.h"
#include "surgery/form.h"
#include "surgery/sparse_source.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

void require_finite(double scale) {
  if (!std::isfinite(scale))
    throw UsageError({{}, {}, "a scale of " + scale_text(scale), "a finite number", {}});
}

}  // namespace

std::string describe_gate(const Gate& gate) {
  if (const auto* selection = std::get_if<Selection>(&gate))
    return ".only(" + selection->to_string() + ")";
  if (const auto* named = std::get_if<NamedScales>(&gate)) return named->text;
  const auto& scales = std::get<LayerScales>(gate);
  std::string text = ".scaled_by_layer(";
  for (const double scale : scales.layers) text += scale_text(scale) + ", ";
  return text + "outside " + scale_text(scales.outside_layers) + ")";
}

namespace {

std::string describe_term(const Term& term) {
  std::string text = term.subtrahend
                         ? "(" + term.minuend->name() + " - " + term.subtrahend->name() + ")"
                         : term.minuend->name();
  for (const Gate& gate : term.gates) text += describe_gate(gate);
  return text;
}

}  // namespace

TaskVector::TaskVector() : form_(std::make_shared<Form>()) {}

TaskVector TaskVector::open(const std::string& location) {
  if (lora::is_adapter(location))
    return TaskVector(single_term(lora::open_adapter(location, std::nullopt), nullptr));
  const Checkpoint checkpoint = Checkpoint::open(location);
  require_vector(checkpoint);
  return TaskVector(single_term(open_source(checkpoint), nullptr));
}

TaskVector TaskVector::open(const std::string& adapter, const Checkpoint& base) {
  require_model(base, "the adapter's base");
  return TaskVector(single_term(lora::open_adapter(adapter, base), nullptr));
}

TaskVector TaskVector::difference(const Checkpoint& tuned, const Checkpoint& base) {
  for (const Checkpoint& model : {tuned, base})
    require_model(model, "two models for a difference", "name a stored vector by itself");
  return TaskVector(difference_of(open_source(tuned), open_source(base)));
}

TaskVector TaskVector::only(const Selection& selection) const {
  if (selection.is_all()) return *this;
  auto form = std::make_shared<Form>(*form_);
  for (Term& term : form->terms) term.gates.emplace_back(selection);
  return TaskVector(std::move(form));
}

TaskVector TaskVector::scaled_by_layer(std::vector<double> coefficients,
                                       double outside_layers) const {
  for (const double coefficient : coefficients) require_finite(coefficient);
  require_finite(outside_layers);
  for (const std::string& name : names()) {
    const Site site = site_of(name);
    if (site.layer && static_cast<std::size_t>(*site.layer) >= coefficients.size()) {
      throw UsageError({{},
                        name,
                        std::to_string(coefficients.size()) + " layer coefficients",
                        "one for each layer",
                        {}});
    }
  }
  auto form = std::make_shared<Form>(*form_);
  for (Term& term : form->terms) term.gates.emplace_back(LayerScales{coefficients, outside_layers});
  return TaskVector(std::move(form));
}

TaskVector operator+(const TaskVector& a, const TaskVector& b) {
  auto form = std::make_shared<TaskVector::Form>(a.form());
  form->terms.insert(form->terms.end(), b.form().terms.begin(), b.form().terms.end());
  return TaskVector(std::move(form));
}

TaskVector operator-(const TaskVector& a, const TaskVector& b) { return a + (-b); }
TaskVector operator-(const TaskVector& a) { return -1.0 * a; }

TaskVector operator*(double scale, const TaskVector& a) {
  require_finite(scale);
  auto form = std::make_shared<TaskVector::Form>(a.form());
  for (Term& term : form->terms) {
    term.coefficient *= scale;
    require_finite(term.coefficient);
  }
  return TaskVector(std::move(form));
}

std::vector<std::string> TaskVector::names() const {
  std::vector<std::string> names;
  std::unordered_set<std::string_view> known;
  for (const Term& term : form_->terms) {
    for (const TensorInfo& tensor : term.minuend->tensors()) {
      if (!is_computable(tensor.dtype) || term.scale_on(tensor.name) == 0) continue;
      if (known.insert(tensor.name).second) names.push_back(tensor.name);
    }
  }
  return names;
}

std::string TaskVector::formula() const {
  std::string text;
  for (const Term& term : form_->terms) {
    const bool negative = term.coefficient < 0;
    const double magnitude = std::abs(term.coefficient);
    if (text.empty()) {
      text = negative ? "-" : "";
    } else {
      text += negative ? " - " : " + ";
    }
    if (magnitude != 1) text += scale_text(magnitude) + " * ";
    text += describe_term(term);
  }
  return text.empty() ? "0" : text;
}

}  // namespace suture
