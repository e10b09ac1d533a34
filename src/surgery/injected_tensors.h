#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "suture/compatibility.h"
#include "suture/task_vector.h"

#include "surgery/plan.h"
#include "surgery/tokenizer_content.h"

namespace suture {

/// How `target + vector` makes each tensor of the target: what a written model and a running one
/// have in common. A head that is stored although it is tied follows the embedding; `target + 1 *
/// (tuned - target)` is a copy of `tuned`, exact where float32 arithmetic would not be.
class InjectedTensors {
 public:
  /// Reads the target's config, and with VocabularyPolicy::kCommon every tokenizer. The vector must
  /// outlive what `plan` returns.
  InjectedTensors(SourcePtr target, const TaskVector& vector, VocabularyPolicy vocabulary);

  /// How one of the target's tensors is made, in its own dtype or, if it is floating, in `dtype`.
  /// Throws UsageError when rows must be matched and a tokenizer is missing.
  OutputTensor plan(const TensorInfo& tensor, std::optional<Dtype> dtype = {});

  /// True when a tensor that has been planned took this tensor of the vector.
  bool used(const std::string& vector_tensor) const { return used_.count(vector_tensor) > 0; }

  /// Rows matched by token text in the tensor with the most of them.
  std::size_t mapped_rows() const { return mapped_rows_; }

  /// Whether the target's head is its embedding.
  bool ties_head() const { return !embedding_.empty(); }

 private:
  bool maps_rows() const { return vocabulary_ == VocabularyPolicy::kCommon; }
  std::vector<ActiveTerm> terms_for(const TensorInfo& tensor);
  std::vector<Segment> map_rows(const Segment& whole, const TensorInfo& tensor);

  SourcePtr target_;
  const TaskVector& vector_;
  VocabularyPolicy vocabulary_;
  std::string embedding_;  // the target's input embedding, when its head is tied to it
  std::optional<TokenizerContent> target_tokenizer_;
  std::map<const TensorSource*, std::optional<TokenizerContent>> donor_tokenizers_;
  std::set<std::string, std::less<>> used_;
  std::size_t mapped_rows_ = 0;
};

}  // namespace suture
