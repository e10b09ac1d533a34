#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "suture/checkpoint.h"
#include "suture/state_dict.h"
#include "suture/tensor_info.h"

namespace suture {

/// What is known of a LoRA adapter whose differences a source shows.
struct AdapterFacts {
  std::string digest;       ///< Of its settings and tensors: 32 hexadecimal digits.
  std::string trained_on;   ///< The base by the adapter's own word; empty when it is silent.
  bool keeps_tied = false;  ///< Tied tensors were trained as one.
  bool replaces_embedding = false;  ///< By one of its own, which leaves a tied head behind.
  std::optional<Checkpoint> base;   ///< The base that was given with it.
  std::vector<std::string> whole;   ///< Tensors that it replaces, by its own names.
  std::vector<std::string> copies;  ///< Token matrices that it stores and that are the base's.
};

/// Where tensors come from: a checkpoint on disk or a state dict in memory. Safe to read from
/// several threads at once.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  /// What to call it in formulas and messages.
  virtual const std::string& name() const = 0;
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  virtual const TensorInfo* find(std::string_view name) const = 0;

  /// Copies dense row-major bytes [begin, begin + bytes) of a tensor to `out`.
  virtual void read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
                    void* out) const = 0;

  /// The dense tensor itself where the source is a state dict, on whatever device, or one that it
  /// is a run of, from element `first_in_memory` on; null otherwise.
  virtual const at::Tensor* in_memory(const TensorInfo&) const { return nullptr; }
  virtual std::uint64_t first_in_memory(const TensorInfo&) const { return 0; }

  /// Throws IoError when the source is no longer what it was.
  virtual void verify_unchanged() const = 0;

  /// The checkpoint behind the source, or null.
  virtual const Checkpoint* checkpoint() const = 0;

  /// True when the tensor's bytes, as its info describes them, stand in a file of `checkpoint()`.
  virtual bool is_in_file(const TensorInfo& tensor) const = 0;

  /// What a tensor that is not in a file as described is made from there; empty for others.
  virtual std::vector<const TensorInfo*> parts_in_file(const TensorInfo&) const { return {}; }

  /// What the tensor is called where it is kept, if it has another name there: raw bytes of names.
  virtual std::string stored_as(const TensorInfo&) const { return {}; }

  /// Bytes that reading `count` elements from `first` on takes: those of the elements, or of what
  /// they are made from. Adjoining ranges add up to their union. Tensors of less than a byte an
  /// element are read whole.
  virtual std::uint64_t bytes_behind(const TensorInfo& tensor, std::uint64_t first,
                                     std::uint64_t count) const;

  /// What the source knows of the adapter that it shows, or null.
  virtual const AdapterFacts* adapter() const { return nullptr; }

  /// The checkpoint whose tokenizer says which row is which token's, or null.
  virtual const Checkpoint* vocabulary() const { return checkpoint(); }
};

using SourcePtr = std::shared_ptr<const TensorSource>;

SourcePtr make_source(const Checkpoint& checkpoint);

/// Shares the state dict's tensors; non-contiguous ones are copied once.
SourcePtr make_source(const StateDict& weights, std::string name);

}  // namespace suture
