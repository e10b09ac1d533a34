#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "suture/tensor_info.h"

#include "format/staged_output.h"
#include "stream/tensor_sink.h"

namespace suture::stream {

/// One weight file of an output: its name, its first bytes, and where each tensor goes.
struct ShardLayout {
  std::string file_name;
  std::string first_bytes;          ///< Length and header, up to the first data byte.
  std::vector<TensorInfo> tensors;  ///< `file` is the shard's number, `offset` the position in it.
  std::uint64_t file_bytes = 0;
};

/// The weight files of an output and the index that binds them.
struct WeightsLayout {
  std::vector<ShardLayout> shards;
  std::optional<std::pair<std::string, std::string>> index;  ///< File name and content.

  std::uint64_t total_bytes() const;
  /// Position of each tensor: shard number and info, by name.
  std::map<std::string, const TensorInfo*> by_name() const;
};

/// Lays tensors out as the hub's own libraries do: taken in order, a new shard whenever the next
/// tensor would exceed `max_shard_bytes`, inside a shard by dtype and name.
WeightsLayout lay_out_shards(const std::vector<TensorInfo>& tensors, const std::string& stem,
                             const std::map<std::string, std::string>& metadata,
                             std::uint64_t max_shard_bytes);

/// Everything in one file called `file_name`.
WeightsLayout lay_out_single_file(std::vector<TensorInfo> tensors, const std::string& file_name,
                                  const std::map<std::string, std::string>& metadata);

/// The files of a layout, open in a stage for positioned writes from any thread.
class WeightsWriter : public TensorSink {
 public:
  /// Creates and reserves every file and writes the headers. Throws IoError when the disk has not
  /// the room, before anything else is done.
  WeightsWriter(format::StagedOutput& stage, WeightsLayout layout);

  const WeightsLayout& layout() const { return layout_; }

  void write(const TensorInfo& tensor, std::uint64_t begin, const void* data,
             std::size_t bytes) override;
  void copy(const TensorInfo& tensor, std::uint64_t begin, const format::File& source,
            std::uint64_t source_offset, std::uint64_t bytes) override;

  /// Writes the headers anew with other metadata, as long as it takes no more room than that which
  /// the files were laid out with; what is left over is filled with spaces. Throws FormatError when
  /// it does.
  void replace_metadata(const std::map<std::string, std::string>& metadata);

  /// Closes and removes the files: what was written is not wanted.
  void discard();

  /// Syncs all shards, then writes the index, last.
  void finish();

 private:
  format::StagedOutput& stage_;
  WeightsLayout layout_;
  std::vector<format::OutputFile> files_;
};

}  // namespace suture::stream
