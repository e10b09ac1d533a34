#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "suture/checkpoint.h"
#include "suture/state_dict.h"

#include "format/staged_output.h"
#include "stream/tensor_sink.h"

namespace suture::stream {

/// Weights that are there already and are written over, tensor by tensor.
class WeightsStore : public TensorSink {
 public:
  /// Makes ready to write these tensors. Gives, by name, the infos that `write` and `copy` know
  /// them by. Throws UsageError for one that is not there.
  virtual std::map<std::string, const TensorInfo*> open(const std::vector<std::string>& names) = 0;

  /// Everything has been written: now it takes effect.
  virtual void close() = 0;
};

/// The tensors of a state dict, on any device.
class WeightsInMemory final : public WeightsStore {
 public:
  explicit WeightsInMemory(StateDict weights);

  std::map<std::string, const TensorInfo*> open(const std::vector<std::string>& names) override;
  void close() override;
  void write(const TensorInfo& tensor, std::uint64_t begin, const void* data,
             std::size_t bytes) override;
  void copy(const TensorInfo& tensor, std::uint64_t begin, const format::File& source,
            std::uint64_t source_offset, std::uint64_t bytes) override;

 private:
  // A tensor that is being written: its own memory, or a stand-in for memory of another kind.
  struct Open {
    at::Tensor weight, dense;
  };
  char* at(const TensorInfo& tensor, std::uint64_t begin) const;

  StateDict weights_;
  std::map<std::string, TensorInfo> infos_;
  std::unordered_map<const TensorInfo*, Open> open_;
};

/// The tensors of safetensors files of our own.
class WeightsOnDisk final : public WeightsStore {
 public:
  /// Throws IoError when a file cannot be written.
  explicit WeightsOnDisk(const Checkpoint& files);

  std::map<std::string, const TensorInfo*> open(const std::vector<std::string>& names) override;
  void close() override {}
  void write(const TensorInfo& tensor, std::uint64_t begin, const void* data,
             std::size_t bytes) override;
  void copy(const TensorInfo& tensor, std::uint64_t begin, const format::File& source,
            std::uint64_t source_offset, std::uint64_t bytes) override;

 private:
  std::vector<TensorInfo> tensors_;
  std::vector<format::OutputFile> files_;
};

}  // namespace suture::stream
