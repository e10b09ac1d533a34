#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "suture/tensor_info.h"

namespace suture {

/// A model on disk, opened by its headers alone: a safetensors file, a folder with one or with
/// shards and an index, a `.pt`/`.bin` that `torch.save` wrote (also sharded), or
/// `org/name[@revision]` in the local Hugging Face cache.
///
/// Every header is validated whole before `open` returns, so a `TensorInfo` can be believed. Copies
/// share the open files. All members are safe to call from several threads at once. Memory: the
/// headers; for a tensor stored with strides (some `.pt` files) also its storage once it is read.
class Checkpoint {
 public:
  /// Opens `location`. An existing path wins over a name in the cache. Throws FormatError for
  /// damaged or hostile files, IoError when the system refuses, UsageError when there is nothing to
  /// open.
  static Checkpoint open(const std::string& location);

  /// What `open` was given.
  const std::string& location() const;

  /// A short name to call it by: the folder's or file's own name, or `org/name@revision`.
  const std::string& name() const;

  /// The model's folder when it was opened as one (also from the cache); empty for a single file.
  const std::filesystem::path& folder() const;

  /// The weight files, in the order that `TensorInfo::file` counts them.
  const std::vector<std::filesystem::path>& files() const;

  /// True when the weights are safetensors, false for `torch.save` archives.
  bool is_safetensors() const;

  /// All tensors, by file and then by position in it.
  const std::vector<TensorInfo>& tensors() const;

  /// The tensor called `name`, or null.
  const TensorInfo* find(std::string_view name) const;

  /// The `__metadata__` of the first safetensors file; empty for others.
  const std::map<std::string, std::string>& metadata() const;

  /// What was odd but acceptable on opening, one sentence each.
  const std::vector<std::string>& warnings() const;

  /// Sum of the tensors' bytes.
  std::uint64_t total_bytes() const;

  /// Copies `bytes` bytes of the tensor's dense row-major data, from `begin` on, to `out`. Cost:
  /// one positioned read. Throws IoError when the file is no longer as it was, UsageError when the
  /// range leaves the tensor.
  void read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes, void* out) const;

  /// Throws IoError when a weight file was replaced or written to since it was opened.
  void verify_unchanged() const;

 private:
  friend struct CheckpointAccess;
  // What all copies share: the open files and what their headers say.
  struct Impl;
  explicit Checkpoint(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace suture
