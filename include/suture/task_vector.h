#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/checkpoint.h"
#include "suture/run_options.h"
#include "suture/selection.h"
#include "suture/state_dict.h"

namespace suture {

struct NameMapping;

/// One number per tensor, and what they come to per layer and in total.
struct LayerMeasure {
  /// The number of one tensor.
  struct Tensor {
    std::string name;
    double value = 0;
  };
  double total = 0;
  std::vector<double> layers;   ///< By layer index.
  double outside_layers = 0;    ///< Embedding, final norm, head, ...
  std::vector<Tensor> tensors;  ///< In the vector's order.
};

/// A task vector (arXiv 2212.04089): what a training run added to a model, `TUNED - BASE`, or any
/// sum of such with coefficients. It is lazy: a linear form over checkpoints and state dicts.
/// Adding, scaling, negating and masking copy a few pointers; reading happens tile by tile when
/// something is measured, materialised or injected.
///
/// Each element is computed as docs/numerics.md says: differences first, then each term times its
/// coefficient, in the order written, in float32 (float64 where an operand is float64).
///
/// Immutable; safe to use from several threads. It keeps its sources open. State dicts used as
/// sources must not change while the vector is in use.
class TaskVector {
 public:
  /// The zero vector: no terms.
  TaskVector();

  /// Opens a vector that `suture extract` wrote, or the vector that a PEFT LoRA adapter is: its
  /// folder, or `org/name` in the local Hugging Face cache. An adapter's factors are read at once
  /// and kept in float32; their products are computed tile by tile, in float64 and rounded once to
  /// float32. Throws UsageError when there is a model, an adapter that is not linear (DoRA, ...) or
  /// one that stores tensors whole and so needs its base; FormatError for damaged files and vectors
  /// of a newer format.
  static TaskVector open(const std::string& location);

  /// Opens a LoRA adapter trained on `base`. Tensors that it stores whole (modules to save, biases,
  /// embeddings) become differences from the base's. Throws as above, and FormatError for tensors
  /// that the base lacks or has in another shape.
  static TaskVector open(const std::string& adapter, const Checkpoint& base);

  /// `tuned - base`, under the names of `base`: where those of `tuned` are others and one reading
  /// of them is clear (suture/name_mapping.h), `name_mappings` says how they were read. Throws
  /// CompatibilityError listing every tensor that only one of them has or whose shapes differ, or
  /// which cannot be computed with. Non-float tensors are no part of it.
  static TaskVector difference(const Checkpoint& tuned, const Checkpoint& base);
  /// The same of tensors in memory, on any device. Shares them: a change to them changes the
  /// vector.
  static TaskVector difference(const StateDict& tuned, const StateDict& base);

  /// A state dict that already holds differences, as a vector. Its tensors of integers are no part
  /// of it.
  static TaskVector from(const StateDict& deltas);

  /// The vector on the selected tensors, zero elsewhere.
  TaskVector only(const Selection& selection) const;
  /// The same by the text form. Throws what `Selection::parse` throws.
  TaskVector only(std::string_view selection) const { return only(Selection::parse(selection)); }

  /// The vector on all but the selected tensors.
  TaskVector except(const Selection& selection) const { return only(!selection); }
  /// The same by the text form. Throws what `Selection::parse` throws.
  TaskVector except(std::string_view selection) const {
    return except(Selection::parse(selection));
  }

  /// Multiplies layer i by `coefficients[i]` and tensors outside the layers by `outside_layers`.
  /// Throws UsageError when the vector has layers beyond the coefficients.
  TaskVector scaled_by_layer(std::vector<double> coefficients, double outside_layers = 1) const;

  /// The vector under other names (suture/name_mapping.h): what was masked or scaled stays so.
  /// Throws UsageError when the mapping was not made for these tensors, or has problems.
  TaskVector renamed(const NameMapping& mapping) const;

  /// The mappings that it is seen through: those of `renamed`, and of a difference whose two models
  /// had other names. Empty for most.
  std::vector<NameMapping> name_mappings() const;

  /// The terms of both, in the order written; what only one has is zero in the other.
  friend TaskVector operator+(const TaskVector& a, const TaskVector& b);
  /// `a + (-b)`.
  friend TaskVector operator-(const TaskVector& a, const TaskVector& b);
  /// `-1 * a`.
  friend TaskVector operator-(const TaskVector& a);
  /// Every coefficient times `scale`, in float64. Throws UsageError when one is then not finite.
  friend TaskVector operator*(double scale, const TaskVector& a);
  /// The same.
  friend TaskVector operator*(const TaskVector& a, double scale) { return scale * a; }

  /// Names of the tensors that some term is not masked out of, in the order of the first term.
  std::vector<std::string> names() const;

  /// The formula in words: `0.8 * (grpo - sft)`.
  std::string formula() const;

  /// L2 norms, dot products and cosines, accumulated in float64 in one streaming pass. The other
  /// vector may have other tensors; those that only one of them has count as zero in the other.
  double norm(const RunOptions& options = {}) const { return norms(options).total; }
  /// By tensor, by layer and in total; each is the root of a sum of squares.
  LayerMeasure norms(const RunOptions& options = {}) const;
  /// The total of `dots`.
  double dot(const TaskVector& other, const RunOptions& options = {}) const {
    return dots(other, options).total;
  }
  /// Sums of products of the elements as computed: by tensor, by layer and in total.
  LayerMeasure dots(const TaskVector& other, const RunOptions& options = {}) const;
  /// The total of `cosines`.
  double cosine(const TaskVector& other, const RunOptions& options = {}) const {
    return cosines(other, options).total;
  }
  /// dot / (norm of the one * norm of the other), 0 where one of them is 0.
  LayerMeasure cosines(const TaskVector& other, const RunOptions& options = {}) const;

  /// One tensor of the vector, or all of them, as float32 (float64 where computed so) on `device`.
  at::Tensor materialize(std::string_view name, at::Device device = at::kCPU) const;
  /// The same for a name in a string.
  at::Tensor materialize(const std::string& name, at::Device device = at::kCPU) const {
    return materialize(std::string_view(name), device);  // a string is a device, too
  }
  /// The same for a literal.
  at::Tensor materialize(const char* name, at::Device device = at::kCPU) const {
    return materialize(std::string_view(name), device);
  }
  /// All tensors of `names()`. Memory: the whole vector, four or eight bytes an element.
  StateDict materialize(at::Device device = at::kCPU, const RunOptions& options = {}) const;

  /// weights <- round(weights + scale * vector), in place, tensor by tensor on the device where it
  /// lives. Each element is computed as inject does; only where inject sees that `TARGET + (TUNED -
  /// TARGET)` is TUNED and copies it may a float32 element differ in its last bit. Tensors that
  /// share memory (a tied head) are changed once, each term of a sum by the first of their names
  /// that it reaches. A cancelled run leaves some tensors changed and
  /// others not. Throws CompatibilityError, before anything has changed, when the vector has a
  /// tensor that `weights` lacks or whose shape differs; names are not mapped here: see `renamed`.
  void apply_to(StateDict& weights, double scale = 1, const RunOptions& options = {}) const;

  struct Form;
  /// For the library's own use: the terms, and the vector that they make.
  const Form& form() const { return *form_; }
  /// The vector that these terms make.
  static TaskVector of(std::shared_ptr<const Form> form) { return TaskVector(std::move(form)); }

 private:
  explicit TaskVector(std::shared_ptr<const Form> form) : form_(std::move(form)) {}
  std::shared_ptr<const Form> form_;
};

/// `tuned - base`, as `TaskVector::difference`.
inline TaskVector operator-(const Checkpoint& tuned, const Checkpoint& base) {
  return TaskVector::difference(tuned, base);
}

}  // namespace suture
