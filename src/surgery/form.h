#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "suture/selection.h"
#include "suture/site.h"
#include "suture/task_vector.h"

#include "core/tensor_source.h"

namespace suture {

/// One coefficient per layer.
struct LayerScales {
  std::vector<double> layers;
  double outside_layers = 1;
};

/// Gates on tensors that have been renamed since, as one factor for each new name; 0 for others.
struct NamedScales {
  std::map<std::string, double, std::less<>> scales;
  std::string text;  ///< The gates as a formula shows them.
};

/// What multiplies a term tensor by tensor: a mask or per-layer coefficients.
using Gate = std::variant<Selection, LayerScales, NamedScales>;

/// A scale as formulas and messages show it.
std::string scale_text(double scale);

/// A gate as a formula shows it: `.only(layer=3)`.
std::string describe_gate(const Gate& gate);

/// `coefficient * gates * (minuend - subtrahend)`; without a subtrahend the minuend holds
/// differences.
struct Term {
  double coefficient = 1;
  SourcePtr minuend;
  SourcePtr subtrahend;
  std::vector<Gate> gates;

  /// The product of the gates on one tensor.
  double gates_on(std::string_view tensor_name) const;

  /// What this term is multiplied by on one tensor; 0 where it is masked out.
  double scale_on(std::string_view tensor_name) const;
};

struct TaskVector::Form {
  std::vector<Term> terms;
};

/// The vector that a source of differences is.
std::shared_ptr<const TaskVector::Form> single_term(SourcePtr minuend, SourcePtr subtrahend);

/// The source under the names of another, where one reading of them is clear (name_mapping.h); the
/// source itself where nothing is mapped.
SourcePtr under_names_of(SourcePtr tuned, const TensorSource& base);

/// `tuned - base`, under the names of `base`. Throws CompatibilityError listing every tensor that
/// does not subtract.
std::shared_ptr<const TaskVector::Form> difference_of(SourcePtr tuned, SourcePtr base);

/// A term on one tensor, where it is not zero by mask or coefficient. The shifts, in elements, say
/// where a source keeps what belongs to element 0 of the run at hand (rows move when vocabularies
/// are mapped).
struct ActiveTerm {
  double scale = 1;
  const TensorSource* minuend_source = nullptr;
  const TensorSource* subtrahend_source = nullptr;
  const TensorInfo* minuend = nullptr;
  const TensorInfo* subtrahend = nullptr;
  std::int64_t minuend_shift = 0;
  std::int64_t subtrahend_shift = 0;

  bool operator==(const ActiveTerm&) const = default;
};

/// The terms that reach a tensor, in the order written. Throws UsageError for a scale beyond
/// float32's range.
std::vector<ActiveTerm> active_terms(const TaskVector::Form& form, std::string_view tensor_name);

/// The same for a tensor of several names (a tied head), each term by the first that it reaches.
std::vector<ActiveTerm> active_terms(const TaskVector::Form& form,
                                     const std::vector<std::string>& tensor_names);

/// The dtype that the sum of the terms has: f64 when one operand is, else f32.
Dtype sum_dtype(const std::vector<ActiveTerm>& terms);

/// Every source of the form once, in order.
std::vector<SourcePtr> sources_of(const TaskVector::Form& form);

}  // namespace suture
