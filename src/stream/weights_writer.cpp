#include "stream/weights_writer.h"

#include <utility>

#include "suture/error.h"

#include "format/safetensors.h"
#include "format/shard_index.h"

namespace suture::stream {
namespace {

using Metadata = std::map<std::string, std::string>;

// Greedy, in the given order; a tensor larger than the limit gets a shard of its own.
std::vector<std::vector<TensorInfo>> split(const std::vector<TensorInfo>& tensors,
                                           std::uint64_t max_shard_bytes) {
  std::vector<std::vector<TensorInfo>> shards(1);
  std::uint64_t bytes = 0;
  for (const TensorInfo& tensor : tensors) {
    if (!shards.back().empty() && bytes + tensor.bytes > max_shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(tensor);
    bytes += tensor.bytes;
  }
  return shards;
}

ShardLayout lay_out(std::vector<TensorInfo> tensors, std::string file_name,
                    const Metadata& metadata, std::uint32_t number) {
  ShardLayout shard;
  shard.file_name = std::move(file_name);
  shard.tensors = std::move(tensors);
  shard.first_bytes = format::lay_out_safetensors(shard.tensors, metadata);
  shard.file_bytes = shard.first_bytes.size();
  for (TensorInfo& tensor : shard.tensors) {
    tensor.file = number;
    tensor.strides.clear();
    shard.file_bytes += tensor.bytes;
  }
  return shard;
}

std::string index_content(const std::vector<ShardLayout>& shards) {
  std::map<std::string, std::string> weight_map;
  std::uint64_t total_size = 0;
  for (const ShardLayout& shard : shards) {
    for (const TensorInfo& tensor : shard.tensors) {
      weight_map.emplace(tensor.name, shard.file_name);
      total_size += tensor.bytes;
    }
  }
  return format::write_shard_index(weight_map, total_size);
}

}  // namespace

std::uint64_t WeightsLayout::total_bytes() const {
  std::uint64_t bytes = index ? index->second.size() : 0;
  for (const ShardLayout& shard : shards) bytes += shard.file_bytes;
  return bytes;
}

std::map<std::string, const TensorInfo*> WeightsLayout::by_name() const {
  std::map<std::string, const TensorInfo*> positions;
  for (const ShardLayout& shard : shards) {
    for (const TensorInfo& tensor : shard.tensors) positions.emplace(tensor.name, &tensor);
  }
  return positions;
}

WeightsLayout lay_out_shards(const std::vector<TensorInfo>& tensors, const std::string& stem,
                             const Metadata& metadata, std::uint64_t max_shard_bytes) {
  WeightsLayout layout;
  auto parts = split(tensors, max_shard_bytes);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    layout.shards.push_back(lay_out(std::move(parts[i]),
                                    format::shard_name(stem, i + 1, parts.size()), metadata,
                                    static_cast<std::uint32_t>(i)));
  }
  if (parts.size() > 1) {
    layout.index.emplace(stem + ".safetensors.index.json", index_content(layout.shards));
  }
  return layout;
}

WeightsLayout lay_out_single_file(std::vector<TensorInfo> tensors, const std::string& file_name,
                                  const Metadata& metadata) {
  WeightsLayout layout;
  layout.shards.push_back(lay_out(std::move(tensors), file_name, metadata, 0));
  return layout;
}

WeightsWriter::WeightsWriter(format::StagedOutput& stage, WeightsLayout layout)
    : stage_(stage), layout_(std::move(layout)) {
  if (const std::uint64_t needed = layout_.total_bytes(), free = stage_.free_bytes();
      needed > free) {
    throw IoError({stage_.path_of({}).parent_path().parent_path().string(),
                   {},
                   std::to_string(free >> 20) + " MiB free",
                   std::to_string((needed >> 20) + 1) + " MiB for the output",
                   "free space or write elsewhere"});
  }
  for (const ShardLayout& shard : layout_.shards) {
    files_.emplace_back(stage_.path_of(shard.file_name), shard.file_bytes);
    files_.back().write(0, shard.first_bytes.data(), shard.first_bytes.size());
  }
}

void WeightsWriter::write(const TensorInfo& tensor, std::uint64_t begin, const void* data,
                          std::size_t bytes) {
  files_[tensor.file].write(tensor.offset + begin, data, bytes);
}

void WeightsWriter::copy(const TensorInfo& tensor, std::uint64_t begin, const format::File& source,
                         std::uint64_t source_offset, std::uint64_t bytes) {
  files_[tensor.file].copy_from(source, source_offset, tensor.offset + begin, bytes);
}

void WeightsWriter::replace_metadata(const Metadata& metadata) {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    ShardLayout& shard = layout_.shards[i];
    std::vector<TensorInfo> tensors = shard.tensors;
    std::string first_bytes = format::lay_out_safetensors(
        tensors, metadata, shard.first_bytes.size() - sizeof(std::uint64_t));
    if (first_bytes.size() != shard.first_bytes.size()) {
      throw FormatError({shard.file_name,
                         {},
                         "a header of " + std::to_string(first_bytes.size()) + " bytes",
                         "at most the " + std::to_string(shard.first_bytes.size()) + " reserved",
                         {}});
    }
    shard.first_bytes = std::move(first_bytes);
    files_[i].write(0, shard.first_bytes.data(), shard.first_bytes.size());
  }
}

void WeightsWriter::discard() {
  files_.clear();
  for (const ShardLayout& shard : layout_.shards)
    std::filesystem::remove(stage_.path_of(shard.file_name));
}

void WeightsWriter::finish() {
  for (format::OutputFile& file : files_) file.finish();
  if (layout_.index)
    format::write_small_file(stage_.path_of(layout_.index->first), layout_.index->second);
}

}  // namespace suture::stream
