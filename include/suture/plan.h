#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "suture/dtype.h"

namespace suture {

/// One of the stored tensors that a sparse or joined one is made from.
struct PlannedPart {
  std::string name;                         ///< Raw bytes; use `printable` before showing.
  std::string file;                         ///< Path of the weight file.
  std::uint64_t first_byte = 0, bytes = 0;  ///< In the file.
};

/// Where an operand of an output tensor stands.
struct PlannedOperand {
  std::string model;  ///< The name of the checkpoint or state dict.
  std::string file;   ///< Path of the weight file; empty for one in memory or stored in parts.
  Dtype dtype = Dtype::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t first_byte = 0;  ///< In the file, of the data.
  std::uint64_t bytes = 0;       ///< Of the tensor laid out densely, or of its parts together.
  bool strided = false;          ///< Stored with strides: `first_byte` is that of element [0, ...].
  std::vector<PlannedPart> parts;  ///< Of a tensor stored sparse, or joined; empty for others.
  /// What it is called in its own model, where that is another name: `wte.weight`, `rows 0 to 64 of
  /// qkv.weight`, `q.weight + k.weight`. Raw bytes.
  std::string stored_as;
};

/// `scale * (minuend - subtrahend)`, or `scale * minuend` for a stored vector.
struct PlannedTerm {
  double scale = 1;  ///< On this tensor: after masks and per-layer coefficients.
  PlannedOperand minuend;
  std::optional<PlannedOperand> subtrahend;
};

/// How an output tensor comes about.
enum class Making {
  kCopied,     ///< The bytes of `origin`.
  kConverted,  ///< `origin` in another dtype or, where it was stored with strides, dense.
  kComputed,   ///< `origin + terms`, or the sum of the terms where there is no origin.
  kLeftOut,    ///< Not written; `reason` says why.
};

/// What a run would do for one tensor.
struct PlannedTensor {
  std::string name;  ///< Raw bytes; use `printable` before showing.
  Making making = Making::kCopied;
  Dtype dtype = Dtype::kF32;        ///< Of the output; of the input for one that is left out.
  bool may_become_double = false;   ///< `dtype` is a forecast: up to float64 if the data needs it.
  bool may_be_sparse = false;       ///< Stored in fewer than `bytes` if it is mostly zeros.
  std::vector<std::int64_t> shape;  ///< Empty for a scalar.
  std::uint64_t bytes = 0;          ///< Written.
  std::string output_file;          ///< Name of the weight file it goes to.
  std::optional<PlannedOperand> origin;
  std::vector<PlannedTerm> terms;  ///< In the order in which they are added.
  std::int64_t rows = 0;           ///< Of a tensor whose rows are matched by token text, else 0.
  std::int64_t mapped_rows = 0;    ///< Of those, the rows that the terms reach.
  std::string reason;              ///< Why it is left out.
};

/// What a run would read and write, and what it needs; sizes in bytes.
struct Plan {
  /// A model that is read.
  struct Input {
    std::string model;
    std::uint64_t bytes = 0;  ///< Read of it, all passes together.
  };
  /// A weight file or side file that is written.
  struct File {
    std::string name;  ///< Relative to the output folder; its own name for a single file.
    std::uint64_t bytes = 0;
    bool is_known = true;  ///< False where reading the inputs has to tell; `bytes` is then 0.
  };
  std::vector<Input> inputs;
  std::vector<File> files;

  std::uint64_t bytes_to_read = 0;
  std::uint64_t bytes_to_write = 0;  ///< Sum of the files whose size is known or forecast.
  bool sizes_are_forecast = false;   ///< Sizes of files go by dtypes judged from a sample.
  /// Upper bound of what is written: every tensor that may become float64 does, none is sparse.
  std::uint64_t bytes_to_write_at_most = 0;
  std::uint64_t disk_bytes_free = 0;  ///< Where the output will live.

  unsigned threads = 1;
  std::uint64_t buffer_bytes = 0;  ///< Of all threads; above the budget only by one tile a thread.
  std::uint64_t memory_budget_bytes = 0;

  std::vector<PlannedTensor> tensors;  ///< Outputs in their order, then what is left out.

  /// False when only reading the inputs can tell what is written: see `bytes_to_write_at_most`.
  bool knows_bytes_to_write() const;
  /// Whether the upper bound of what is written fits into what is free.
  bool fits_on_disk() const { return bytes_to_write_at_most <= disk_bytes_free; }
  /// How many of the tensors come about in this way.
  std::size_t count(Making making) const;
};

/// The tensors that `patterns` name: whole names, or globs with `*`, `?` and `[...]`. Each tensor
/// once, in the plan's order. Throws UsageError for a pattern that names none, with near names.
std::vector<PlannedTensor> explain(const Plan& plan, const std::vector<std::string>& patterns);

}  // namespace suture
