#include "format/shard_index.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "suture/error.h"

#include "format/json.h"

namespace suture::format {
namespace {

namespace fs = std::filesystem;

// Several times what the largest models need, and little to take apart.
constexpr std::uint64_t kMaxIndexBytes = 64 << 20;
constexpr std::size_t kMaxIndexKeys = 500'000;

bool stays_in_folder(const std::string& name) {
  const fs::path path(name);
  return !name.empty() && name.find('\0') == std::string::npos && path.is_relative() &&
         path.has_filename() &&
         std::none_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
}

// `model-00001-of-00003.safetensors` promises three shards. No std::regex: it recurses once for
// every character, and a name may have millions.
std::optional<std::size_t> promised_shards(const std::string& shard) {
  const auto of = shard.rfind("-of-");
  if (of == std::string::npos || of == 0 || shard[of - 1] < '0' || shard[of - 1] > '9') {
    return std::nullopt;
  }
  std::size_t count = 0;
  const char* end = shard.data() + shard.size();
  const auto [dot, error] = std::from_chars(shard.data() + of + 4, end, count);
  if (error != std::errc() || dot == end || *dot != '.') return std::nullopt;
  return count;
}

void warn_of_broken_promise(ShardIndex& index) {
  for (const std::string& shard : index.shards) {
    const std::optional<std::size_t> promised = promised_shards(shard);
    if (!promised || *promised == index.shards.size()) continue;
    index.warnings.push_back("the index lists " + std::to_string(index.shards.size()) +
                             " shards, but '" + printable(shard) + "' speaks of " +
                             std::to_string(*promised));
    return;
  }
}

std::optional<std::uint64_t> claimed_size(const Json& root, std::vector<std::string>& warnings) {
  const auto metadata = root.find("metadata");
  if (metadata == root.end() || !metadata->is_object()) {
    warnings.push_back("the index has no metadata; transformers will not load this folder");
    return std::nullopt;
  }
  const auto size = metadata->find("total_size");
  if (size == metadata->end() || !size->is_number_unsigned()) return std::nullopt;
  return size->get<std::uint64_t>();
}

}  // namespace

ShardIndex read_shard_index(const fs::path& path) {
  const std::string file = path.string();
  const Json root = read_json_file(path, kMaxIndexBytes, kMaxIndexKeys);
  const auto map = root.is_object() ? root.find("weight_map") : root.end();
  if (!root.is_object() || map == root.end() || !map->is_object() || map->empty()) {
    throw FormatError(
        {file, {}, "no tensors in 'weight_map'", "an object from tensor names to shard files", {}});
  }
  ShardIndex index;
  index.total_size = claimed_size(root, index.warnings);
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string())
      throw FormatError(
          {file, tensor, std::string("its shard is ") + shard.type_name(), "a file name", {}});
    const auto& name = shard.get_ref<const std::string&>();
    if (!stays_in_folder(name)) {
      throw FormatError({file, tensor,
                         "its shard '" + printable(name) + "' lies outside the folder",
                         "a file name in the same folder", "do not trust this model"});
    }
    index.weight_map.emplace(tensor, name);
    index.shards.push_back(name);
  }
  std::sort(index.shards.begin(), index.shards.end());
  index.shards.erase(std::unique(index.shards.begin(), index.shards.end()), index.shards.end());
  warn_of_broken_promise(index);
  return index;
}

void verify_shard_index(ShardIndex& index, const fs::path& path,
                        const std::vector<std::vector<TensorInfo>>& shard_tensors) {
  const std::string file = path.string();
  std::map<std::string, std::size_t> home;  // tensor to shard number
  std::uint64_t total = 0;
  std::size_t unlisted = 0;
  for (std::size_t shard = 0; shard < shard_tensors.size(); ++shard) {
    for (const TensorInfo& tensor : shard_tensors[shard]) {
      total += tensor.bytes;
      const auto [at, is_new] = home.emplace(tensor.name, shard);
      if (!is_new) {
        throw FormatError(
            {file,
             tensor.name,
             "stands in both '" + index.shards[at->second] + "' and '" + index.shards[shard] + "'",
             "each tensor once",
             {}});
      }
      if (index.weight_map.count(tensor.name) == 0) ++unlisted;
    }
  }
  for (const auto& [tensor, shard] : index.weight_map) {
    const auto at = home.find(tensor);
    if (at == home.end() || index.shards[at->second] != shard) {
      throw FormatError({file,
                         tensor,
                         "not in its shard '" + printable(shard) + "'",
                         {},
                         "index and shards do not belong together; download the model again"});
    }
  }
  if (unlisted > 0)
    index.warnings.push_back(std::to_string(unlisted) +
                             " tensors stand in the shards but not in the index; they are used");
  if (index.total_size && *index.total_size != total) {
    index.warnings.push_back("the index claims " + std::to_string(*index.total_size) +
                             " bytes of tensors, the shards hold " + std::to_string(total));
  }
}

std::string write_shard_index(const std::map<std::string, std::string>& weight_map,
                              std::uint64_t total_size) {
  Json root;
  root["metadata"]["total_size"] = total_size;
  root["weight_map"] = weight_map;
  return root.dump(2) + "\n";
}

std::string shard_name(const std::string& stem, std::size_t number, std::size_t count) {
  if (count == 1) return stem + ".safetensors";
  char suffix[64];
  std::snprintf(suffix, sizeof suffix, "-%05zu-of-%05zu.safetensors", number, count);
  return stem + suffix;
}

}  // namespace suture::format
