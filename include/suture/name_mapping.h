#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "suture/checkpoint.h"
#include "suture/state_dict.h"
#include "suture/task_vector.h"
#include "suture/tensor_info.h"

namespace suture {

/// Where the tensors of one model are in another that holds the same parts under other names: a
/// prefix before the decoder (`model.`, `language_model.model.`, none), and `q_proj`, `k_proj`,
/// `v_proj` below one another as `self_attn.qkv_proj`, `gate_proj` and `up_proj` as
/// `mlp.gate_up_proj`, as Phi-3 and vLLM keep them. A value to look at and to hand to
/// `TaskVector::renamed`; nothing is done by it alone.
struct NameMapping {
  /// Rows [first_row, first_row + rows) of a tensor under its old name. A scalar is one row.
  struct Part {
    std::string name;
    std::int64_t first_row = 0, rows = 0;

    /// Same name and rows.
    bool operator==(const Part& other) const {
      return name == other.name && first_row == other.first_row && rows == other.rows;
    }
  };
  /// A tensor under its new name: its parts, from the first row to the last.
  struct Tensor {
    std::string name;
    std::vector<Part> parts;

    /// Same name and parts, in order.
    bool operator==(const Tensor& other) const {
      return name == other.name && parts == other.parts;
    }
  };

  std::vector<Tensor> tensors;     ///< Those that change; others keep name and rows.
  std::vector<std::string> rules;  ///< The same for people: `layers.* -> model.layers.* (...)`.
  /// Why nothing is mapped although names look related: two readings, or shapes that do not fit.
  /// `tensors` is then empty.
  std::vector<std::string> problems;

  /// Whether every tensor keeps its name.
  bool empty() const { return tensors.empty(); }

  /// The rules in one line.
  std::string to_string() const;
};

/// How the tensors of `from` are found in `to`, by names and shapes alone. A tensor that both have
/// under one name keeps it. A rule is used only when it is the only one, and when every tensor that
/// it reaches has the shape that it must have there; embeddings and heads may differ in rows.
/// Interleaved projections (`query_key_value`, `c_attn`) are not mapped. Tensors without a
/// counterpart keep their names. Never throws for names or shapes: see `problems`.
NameMapping mapping_between(const std::vector<TensorInfo>& from, const std::vector<TensorInfo>& to);
/// The same for the tensors of two checkpoints.
NameMapping mapping_between(const Checkpoint& from, const Checkpoint& to);
/// The same for the tensors of two state dicts.
NameMapping mapping_between(const StateDict& from, const StateDict& to);

/// The same for a vector's tensors, masked ones included.
NameMapping mapping_between(const TaskVector& from, const std::vector<TensorInfo>& to);
/// The same for a vector and a checkpoint.
NameMapping mapping_between(const TaskVector& from, const Checkpoint& to);
/// The same for a vector and a state dict.
NameMapping mapping_between(const TaskVector& from, const StateDict& to);

}  // namespace suture
