#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <c10/core/Device.h>

#include "suture/checkpoint.h"
#include "suture/compatibility.h"
#include "suture/dtype.h"
#include "suture/run_options.h"
#include "suture/selection.h"
#include "suture/task_vector.h"

namespace suture {

/// How a vector is written as a LoRA adapter (arXiv 2106.09685). At least one of `rank` and
/// `energy`.
struct LoraOptions {
  /// Of every matrix, or of its smaller side if that is less; with `energy` at most this.
  std::optional<std::int64_t> rank;
  /// In (0, 1]: each matrix gets the smallest rank that keeps this share of its squared Frobenius
  /// norm, up to a part of 1e-12; of a matrix that is sketched, where `rank` is given as well, one
  /// that keeps 1e-6 more, since its values are computed in float32.
  std::optional<double> energy;
  /// Of the factors: bf16, f16 or f32. Narrower ones than float32 round the product as well: the
  /// errors in the report are those of the factors as stored.
  Dtype dtype = Dtype::kF32;
  /// Also embedding and head as factors; else they are stored whole. Not for tied embeddings.
  bool low_rank_embeddings = false;
  Selection only;                 ///< Tensors to write; all by default.
  std::uint64_t seed = 0;         ///< Of the random sketch.
  at::Device device = at::kCPU;   ///< Where matrices are decomposed.
  bool replace_existing = false;  ///< Else an existing output is refused.
  bool dry_run = false;           ///< Report what could be written; read no weights, write nothing.
  CheckOptions check;
  RunOptions run;
};

/// What an adapter leaves of a change D of norm |D| (all norms are Frobenius norms, summed in
/// float64).
struct LoraError {
  double norm = 0;      ///< |D|.
  double residual = 0;  ///< |D - B A|, of the factors as stored; |D| where nothing is.
  /// |round(W + B A) - (W + D)|: the same in a base whose weights are rounded to the dtype that
  /// they have, as PEFT merges.
  double merged_residual = 0;

  /// residual / norm; 0 where nothing changed.
  double relative() const { return norm > 0 ? residual / norm : 0; }
  /// merged_residual / norm; 0 where nothing changed.
  double merged_relative() const { return norm > 0 ? merged_residual / norm : 0; }
  /// 1 - relative()^2: the share of |D|^2 that the factors keep.
  double kept_energy() const { return 1 - relative() * relative(); }
};

/// What became of one tensor of the vector.
enum class LoraForm {
  kLowRank,    ///< A product of two factors.
  kWhole,      ///< Its tuned values, in the dtype that they have.
  kUnchanged,  ///< The vector is zero there: nothing is stored.
  kLeftOut,    ///< Changed, but an adapter has no place for it.
};

/// One tensor of the vector in the adapter.
struct LoraTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  LoraForm form = LoraForm::kUnchanged;
  std::int64_t rank = 0;  ///< Of kLowRank.
  LoraError error;
  std::string reason;  ///< Why it was left out.
};

/// What extract_lora did. A dry run has measured nothing: errors are 0, forms those of tensors that
/// differ, ranks and bytes upper bounds.
struct LoraReport {
  std::vector<LoraTensor> tensors;  ///< Of the selected vector, in its order.
  std::vector<LoraError> layers;    ///< By layer index.
  LoraError outside_layers, total;
  std::int64_t rank = 0;  ///< The largest.
  std::uint64_t bytes_written = 0;
  /// Tensors of the models that are not compared, or whose change the adapter lacks, with the
  /// reason.
  std::vector<std::string> left_out;
  bool dry_run = false;
  Compatibility compatibility;
};

/// Writes `tuned - base` to the folder `path` as an adapter that PEFT loads onto the base:
/// `adapter_config.json`, `adapter_model.safetensors` and a `suture.json` that says how it was
/// made.
///
/// The weight matrix of a linear layer becomes B A with B = U sqrt(S) and A = sqrt(S) V', from the
/// leading singular values S of the float32 difference and their vectors: of a random block Krylov
/// sketch (docs/numerics.md), or of D'D in float64 where a sketch would be hardly smaller, or
/// `energy` is given without a rank. lora_alpha is the rank, so that PEFT scales
/// by 1. Embedding, head and norms that changed are stored whole, as `modules_to_save` or, where
/// the head is tied to it, as the embedding alone; biases whole, with `bias: all`. Unchanged
/// tensors are not stored, and what PEFT has no place for is named with the norm of its change.
///
/// Matrices are decomposed side by side, each on one thread: the bytes do not depend on the number
/// of threads. Memory: the factors and, per thread, about five times the largest matrix in float64.
///
/// Throws UsageError for options that fit nothing, for non-finite differences, and where no matrix
/// differs (PEFT loads no adapter without one); CompatibilityError, FormatError, IoError,
/// Interrupted. Then nothing is left behind.
LoraReport extract_lora(const Checkpoint& tuned, const Checkpoint& base, const std::string& path,
                        const LoraOptions& options);

/// The same of any vector on `base`. What is stored whole is base + vector, as inject computes it.
LoraReport extract_lora(const TaskVector& vector, const Checkpoint& base, const std::string& path,
                        const LoraOptions& options);

}  // namespace suture
