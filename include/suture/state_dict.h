#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/checkpoint.h"
#include "suture/run_options.h"

namespace torch::nn {
class Module;
}
namespace torch::jit {
struct Module;
}

namespace suture {

/// An ordered map from tensor name to tensor, as Python's `state_dict()` is. Tensors are shared,
/// not copied, on copying the map. Not synchronised: guard it like a std::vector.
class StateDict {
 public:
  using Entry = std::pair<std::string, at::Tensor>;

  StateDict() = default;

  /// Adds a tensor at the end, or replaces the one of that name where it stands.
  void set(std::string name, at::Tensor tensor);

  /// The tensor called `name`. Throws UsageError, with near names, when there is none.
  const at::Tensor& at(std::string_view name) const;

  /// The tensor called `name`, or null.
  const at::Tensor* find(std::string_view name) const;

  /// Whether there is a tensor of that name.
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// How many tensors there are, counted by name.
  std::size_t size() const { return entries_.size(); }
  /// Whether there is none.
  bool empty() const { return entries_.empty(); }
  /// Entries in the order in which their names were first set; invalidated by `set`.
  auto begin() const { return entries_.begin(); }
  /// Behind the last entry.
  auto end() const { return entries_.end(); }

  /// The same names with tensors on `device`; tensors already there are shared.
  StateDict to(at::Device device) const;

  /// The same names with tensors of their own memory.
  StateDict clone() const;

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> positions_;
};

/// Reads a whole model into tensors: any checkpoint that `Checkpoint::open` takes, in its stored
/// dtypes. Throws what `open` throws, and UsageError when `device` is not there or a tensor's dtype
/// has no LibTorch counterpart. Cost: one pass over the file; memory: the model, on `device` plus
/// at most one tensor on the CPU.
StateDict load(const std::string& location, at::Device device = at::kCPU,
               const RunOptions& options = {});
/// The same of a checkpoint that is open already.
StateDict load(const Checkpoint& checkpoint, at::Device device = at::kCPU,
               const RunOptions& options = {});

/// Names that did not find each other, as Python's `load_state_dict` reports them.
struct KeyReport {
  std::vector<std::string> missing;     ///< In the module, not in the state dict.
  std::vector<std::string> unexpected;  ///< In the state dict, not in the module.
};

/// Whether differing names are an error.
enum class Strictness { kStrict, kLoose };

/// Copies a state dict into a module's parameters and persistent buffers by name, converting to the
/// module's dtypes and devices. Throws CompatibilityError listing every name when strict and names
/// differ, and always when shapes differ; then nothing has been copied.
KeyReport load_into(torch::nn::Module& module, const StateDict& weights,
                    Strictness strictness = Strictness::kStrict);
/// The same for a TorchScript module.
KeyReport load_into(torch::jit::Module& module, const StateDict& weights,
                    Strictness strictness = Strictness::kStrict);

/// A module's parameters and buffers by name, sharing their memory: in-place edits reach the
/// module.
StateDict state_dict_of(const torch::nn::Module& module);
/// The same for a TorchScript module.
StateDict state_dict_of(const torch::jit::Module& module);

/// How a state dict is written.
struct SaveOptions {
  /// `__metadata__` of every safetensors file, absent when empty. A file of `torch.save` has no
  /// place for it: there, anything but this default or nothing is refused.
  std::map<std::string, std::string> metadata{{"format", "pt"}};
  std::uint64_t max_shard_bytes = 5'000'000'000;  ///< For folders: a larger model is split.
  bool replace_existing = false;                  ///< Else an existing output is refused.
  RunOptions run;
};

/// Writes a state dict where `path` says:
///
/// - `NAME.safetensors`: one file, equal byte for byte to what Python's `save_file` writes of the
///   same tensors and metadata (None for an empty map). Metadata keys are sorted; Python writes two
///   or more of them in an order that changes from call to call, so that its file then equals this
///   one up to that order. A model without tensors gets a valid header with its metadata, which
///   Python's writer does not.
/// - `NAME.pt` or `NAME.pth`: one file, as `torch.save` writes an OrderedDict, which Python's
///   `torch.load` reads with `weights_only=True`, `mmap=True` too. Tensors that share memory (tied
///   weights, views) share it again when Python loads them (`load` here reads each by itself);
///   memory between them that no tensor needs is left out. Strides are kept where a tensor fills
///   its memory; others are written densely, as are expanded and conjugate ones. Views of one
///   memory under two dtypes become two copies.
/// - anything else: a folder with `model.safetensors` or hub-style shards and their index.
///
/// The output appears whole or not at all, and the same tensors give the same bytes. Tensors may be
/// on any device; files say nothing of it, nor of gradients. In safetensors every tensor is written
/// densely, shared ones several times.
///
/// Throws UsageError for an existing output, for sparse, nested and meta tensors, for dtypes that
/// safetensors does not know, and for metadata that has no place; FormatError for a name that is
/// not UTF-8, and in safetensors for one that is empty or `__metadata__`; IoError; Interrupted.
/// Cost: one pass. Memory: a buffer per thread, and copies of tensors that are not dense: in `.pt`
/// of one at a time, else of all.
void save(const StateDict& weights, const std::string& path, const SaveOptions& options = {});

}  // namespace suture
