#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "suture/checkpoint.h"
#include "suture/compatibility.h"
#include "suture/plan.h"
#include "suture/realised_change.h"
#include "suture/run_options.h"
#include "suture/task_vector.h"

namespace suture {

/// How a vector is written.
struct ExtractOptions {
  /// Dtype of the stored tensors. By default each gets the narrowest of bf16, f16 and f32 that
  /// holds its float32 differences exactly; f64 where a float32 vector would not give the tuned
  /// model's bytes back when it is added to the base, and where a donor is f64.
  std::optional<Dtype> dtype;
  bool sparse = false;  ///< Store mostly-zero tensors as a bitmap and the values that are not zero.
  Selection only;       ///< Tensors to store; all by default.
  std::uint64_t max_shard_bytes = 5'000'000'000;  ///< For folders.
  bool replace_existing = false;                  ///< Else an existing output is refused.
  bool dry_run = false;                           ///< Report what would be written; write nothing.
  CheckOptions check;
  RunOptions run;
};

/// What extract did. A dry run measures nothing: norms, counts of elements and of sparse and
/// widened tensors are then 0, and dtypes and bytes written a forecast; `plan` says what is known.
struct ExtractReport {
  std::size_t tensors = 0;              ///< Stored in the vector.
  std::map<Dtype, std::size_t> dtypes;  ///< How many of those are stored in which dtype.
  std::size_t sparse_tensors = 0;       ///< Of those, stored as a bitmap and values.
  std::size_t widened_tensors = 0;      ///< Of those, stored as float64 for the sake of exactness.
  std::uint64_t inexact_elements = 0;   ///< Where base + vector is not tuned to the bit.
  std::uint64_t changed_elements = 0;   ///< Where the vector is not zero.
  std::uint64_t elements = 0;
  double norm = 0;       ///< L2 norm of the vector.
  double base_norm = 0;  ///< L2 norm of the base on the same tensors.
  std::uint64_t bytes_read = 0, bytes_written = 0;
  std::vector<std::string>
      left_out;  ///< Donor tensors that are no part of the vector, with the reason.
  Compatibility compatibility;
  std::optional<Plan> plan;  ///< After a dry run.
};

/// Writes `tuned - base` (arXiv 2212.04089, eq. 1) to `path`: one file when it ends in
/// `.safetensors`, else a folder with the tokenizer beside it. The file carries the model's tensor
/// names and says in its metadata where it came from. Non-float tensors must be equal in both
/// models.
///
/// One streaming pass reads the donors and writes the vector, in dtypes judged by a sample; where
/// the sample misled, or for `sparse`, a second pass writes. The bytes do not depend on which. A
/// dry run goes by the sample alone. Memory: the budget of `options.run`. Throws
/// CompatibilityError, FormatError, IoError, UsageError, Interrupted; then nothing is left behind.
ExtractReport extract(const Checkpoint& tuned, const Checkpoint& base, const std::string& path,
                      const ExtractOptions& options = {});

/// Writes the vector that a PEFT LoRA adapter of `base` is (see `TaskVector::open`), densely: in
/// float32, or the dtype chosen. `inexact_elements` then counts where that dtype does not hold a
/// difference. Throws as the other, and UsageError for `sparse`.
ExtractReport extract(const std::string& adapter, const Checkpoint& base, const std::string& path,
                      const ExtractOptions& options = {});

/// How a model with a vector added is written.
struct InjectOptions {
  std::optional<Dtype> dtype;  ///< Of the float tensors; by default each keeps the target's.
  /// Rounds each element up or down at random, right on average, instead of to nearest even: small
  /// changes then survive in bf16, as noise. The bits depend on the seed, the tensor's name and the
  /// element alone.
  std::optional<std::uint64_t> stochastic_seed;
  std::optional<std::uint64_t> max_shard_bytes;  ///< By default the target's own shards are kept.
  bool replace_existing = false;                 ///< Else an existing output is refused.
  bool dry_run = false;                          ///< Report what would be done; write nothing.
  CheckOptions check;
  RunOptions run;
};

/// What inject did.
struct InjectReport {
  std::size_t computed_tensors = 0;  ///< Tensors that the vector reached.
  std::size_t copied_tensors = 0;    ///< Tensors copied as bytes from the target.
  std::size_t mapped_rows = 0;       ///< Rows matched by token text.
  std::uint64_t bytes_read = 0, bytes_written = 0;
  RealisedChanges realised;           ///< What rounding left of the vector. Not after a dry run.
  std::vector<std::string> left_out;  ///< Vector tensors and side files not used, with the reason.
  Compatibility compatibility;
  std::optional<Plan> plan;  ///< After a dry run.
};

/// Writes `target + vector` (scale it first: `0.8 * vector`) to `path`: one file when it ends in
/// `.safetensors`, else a model folder that transformers loads, with the target's config, tokenizer
/// and other files copied byte for byte and a `suture.json` that says how it was made.
///
/// One streaming pass; each output element is rounded once. Tensors that the vector does not reach
/// are copied as bytes. Memory: the budget of `options.run`. Throws CompatibilityError,
/// FormatError, IoError, UsageError, Interrupted; then nothing is left behind.
InjectReport inject(const Checkpoint& target, const TaskVector& vector, const std::string& path,
                    const InjectOptions& options = {});

/// What rounding would leave of the vector in `target`, tensor by tensor, as `inject` reports it
/// after a run: the same pass, but nothing is written. Models and vector are taken to be
/// compatible: see `check`. Throws CompatibilityError, IoError, UsageError, Interrupted.
RealisedChanges foresee_change(const Checkpoint& target, const TaskVector& vector,
                               VocabularyPolicy vocabulary = VocabularyPolicy::kSame,
                               const RunOptions& options = {});

}  // namespace suture
