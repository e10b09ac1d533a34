#include "surgery/target_layout.h"

#include <algorithm>
#include <utility>

#include "format/checkpoint_access.h"
#include "format/file.h"
#include "format/model_folder.h"

namespace suture {
namespace {

constexpr std::uint64_t kHubShardBytes = 5'000'000'000;
constexpr std::uint64_t kMaxIndexBytes = 256 << 20;

bool keeps_dtypes(const Checkpoint& target, const std::vector<TensorInfo>& tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [&](const TensorInfo& tensor) {
    return target.find(tensor.name)->dtype == tensor.dtype;
  });
}

// Everything before the data: the length, the header, its padding.
std::string first_bytes_of(const format::File& file) {
  unsigned char raw[8];
  file.read(0, raw, sizeof raw);
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | raw[i];
  std::string bytes(8 + length, '\0');
  file.read(0, bytes.data(), bytes.size());
  return bytes;
}

stream::WeightsLayout keep_layout(const Checkpoint& target) {
  stream::WeightsLayout layout;
  for (std::uint32_t number = 0; number < target.files().size(); ++number) {
    const format::File& file = CheckpointAccess::file(target, number);
    stream::ShardLayout shard;
    shard.file_name = target.files().size() == 1 ? "model.safetensors"
                                                 : target.files()[number].filename().string();
    shard.first_bytes = first_bytes_of(file);
    shard.file_bytes = file.size();
    for (const TensorInfo& tensor : target.tensors()) {
      if (tensor.file == number) shard.tensors.push_back(tensor);
    }
    layout.shards.push_back(std::move(shard));
  }
  if (target.folder().empty()) return layout;
  if (const auto index = format::find_weights(target.folder()).index; !index.empty()) {
    layout.index.emplace(index.filename().string(), format::read_small_file(index, kMaxIndexBytes));
    if (layout.shards.size() == 1)
      layout.shards.front().file_name = target.files().front().filename().string();
  }
  return layout;
}

}  // namespace

std::map<std::string, std::string> metadata_like_target(
    const Checkpoint& target, const std::map<std::string, std::string>& extra) {
  std::map<std::string, std::string> metadata = target.metadata();
  metadata.emplace("format", "pt");
  metadata.insert(extra.begin(), extra.end());
  return metadata;
}

stream::WeightsLayout lay_out_like_target(const Checkpoint& target,
                                          const std::vector<TensorInfo>& tensors,
                                          const TargetLayoutOptions& options) {
  const bool keep = target.is_safetensors() && !options.max_shard_bytes &&
                    options.extra_metadata.empty() && keeps_dtypes(target, tensors) &&
                    (!options.single_file || target.files().size() == 1);
  if (keep) return keep_layout(target);
  const auto metadata = metadata_like_target(target, options.extra_metadata);
  return options.single_file
             ? stream::lay_out_single_file(tensors, {}, metadata)
             : stream::lay_out_shards(tensors, "model", metadata,
                                      options.max_shard_bytes.value_or(kHubShardBytes));
}

}  // namespace suture
