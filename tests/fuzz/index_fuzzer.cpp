// Feeds bytes to the reader of shard indexes.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "suture/error.h"

#include "format/shard_index.h"

namespace {

using suture::TensorInfo;
using suture::format::ShardIndex;

// An accepted index names shards inside the folder only, and fits the tensors that it lists.
void check(ShardIndex index) {
  std::vector<std::vector<TensorInfo>> tensors(index.shards.size());
  for (std::size_t i = 0; i < index.shards.size(); ++i) {
    const std::filesystem::path shard(index.shards[i]);
    if (shard.empty() || shard.is_absolute()) std::abort();
    for (const auto& part : shard) {
      if (part == "..") std::abort();
    }
    for (const auto& [name, home] : index.weight_map) {
      if (home != index.shards[i]) continue;
      tensors[i].emplace_back();
      tensors[i].back().name = name;
    }
  }
  suture::format::verify_shard_index(index, "index.json", tensors);
  suture::format::write_shard_index(index.weight_map, 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  static const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  if (descriptor < 0 || ::ftruncate(descriptor, 0) != 0 ||
      ::pwrite(descriptor, input, size, 0) != static_cast<ssize_t>(size)) {
    std::abort();
  }
  ShardIndex index;
  try {
    index = suture::format::read_shard_index(path);
  } catch (const suture::Error&) {
    return 0;
  }
  check(std::move(index));
  return 0;
}
