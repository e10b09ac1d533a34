#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "suture/tensor_info.h"

namespace suture::format {

/// A validated `*.index.json`: which shard holds which tensor.
struct ShardIndex {
  std::map<std::string, std::string> weight_map;  ///< Tensor name to shard file name.
  std::vector<std::string> shards;                ///< Each shard once, sorted.
  std::optional<std::uint64_t> total_size;        ///< What the index claims, in bytes.
  std::vector<std::string> warnings;
};

/// Reads an index. Shard names that leave the folder (absolute, `..`) are refused. Throws
/// FormatError.
ShardIndex read_shard_index(const std::filesystem::path& path);

/// Compares the index with what the shards' headers hold. Throws FormatError for a tensor that is
/// not where the index says or stands in two shards; adds warnings for the rest.
void verify_shard_index(ShardIndex& index, const std::filesystem::path& path,
                        const std::vector<std::vector<TensorInfo>>& shard_tensors);

/// An index as the hub's own libraries write it: two-space indent, sorted keys, final newline.
std::string write_shard_index(const std::map<std::string, std::string>& weight_map,
                              std::uint64_t total_size);

/// `STEM.safetensors` for one shard, else `STEM-00001-of-00002.safetensors`, counting from 1.
std::string shard_name(const std::string& stem, std::size_t number, std::size_t count);

}  // namespace suture::format
