#include "suture/checkpoint.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "suture/error.h"

#include "format/checkpoint_access.h"
#include "format/file.h"
#include "format/hub_cache.h"
#include "format/model_folder.h"
#include "format/safetensors.h"
#include "format/shard_index.h"
#include "format/torch_archive.h"

namespace suture {
namespace {

namespace fs = std::filesystem;

using Bytes = std::vector<char>;

constexpr std::size_t kLongNameBytes = 4096;

// Storages of strided tensors, read once. The range lies inside the file, so memory is bounded by
// it.
class StorageCache {
 public:
  std::shared_ptr<const Bytes> get(const format::File& file, const TensorInfo& tensor) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const Bytes>& slot = storages_[tensor.name];
    if (!slot) {
      auto bytes = std::make_shared<Bytes>(span_bytes(tensor));
      file.read(tensor.offset, bytes->data(), bytes->size());
      slot = std::move(bytes);
    }
    return slot;
  }

 private:
  // From the first element's first byte to the last one's last; strides are not negative.
  static std::size_t span_bytes(const TensorInfo& tensor) {
    if (tensor.elements == 0) return 0;
    std::uint64_t last = 0;
    for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
      last += static_cast<std::uint64_t>((tensor.shape[d] - 1) * tensor.strides[d]);
    }
    return (last + 1) * static_cast<std::uint64_t>(bytes_of(tensor.dtype));
  }

  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const Bytes>> storages_;
};

// Copies dense bytes [begin, begin + bytes) of a strided tensor; the range is of whole elements.
void gather(const TensorInfo& tensor, const Bytes& storage, std::uint64_t begin, std::size_t bytes,
            char* out) {
  const auto width = static_cast<std::size_t>(bytes_of(tensor.dtype));
  for (std::uint64_t element = begin / width, end = (begin + bytes) / width; element < end;
       ++element) {
    std::uint64_t rest = element, position = 0;
    for (std::size_t d = tensor.shape.size(); d-- > 0;) {
      const auto size = static_cast<std::uint64_t>(tensor.shape[d]);
      position += rest % size * static_cast<std::uint64_t>(tensor.strides[d]);
      rest /= size;
    }
    std::copy_n(storage.data() + position * width, width, out);
    out += width;
  }
}

}  // namespace

struct Checkpoint::Impl {
  std::string location, name;
  fs::path folder;
  std::vector<fs::path> paths;
  std::vector<format::File> files;
  bool safetensors = true;
  std::vector<TensorInfo> tensors;
  std::unordered_map<std::string_view, std::size_t> by_name;
  std::map<std::string, std::string> metadata;
  std::vector<std::string> warnings;
  std::uint64_t total_bytes = 0;
  mutable StorageCache storages;

  void open_folder();
  void open_sharded(const fs::path& index_path);
  std::vector<TensorInfo> open_file(const fs::path& path);
  void finish();
};

namespace {

bool has_torch_extension(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".pt" || extension == ".pth" || extension == ".bin" || extension == ".ckpt";
}

void list_missing_shards(const fs::path& folder, const std::vector<std::string>& shards) {
  std::string missing;
  for (const std::string& shard : shards) {
    std::error_code error;
    if (fs::exists(fs::symlink_status(folder / shard, error))) continue;
    missing += (missing.empty() ? "" : ", ") + printable(shard);
  }
  if (!missing.empty()) {
    throw FormatError(
        {folder.string(), {}, "missing shards: " + missing, {}, "download the model again"});
  }
}

}  // namespace

std::vector<TensorInfo> Checkpoint::Impl::open_file(const fs::path& path) {
  format::File file = format::File::open(path);
  std::vector<TensorInfo> found;
  if (safetensors) {
    format::SafetensorsHeader header = format::read_safetensors_header(file);
    if (files.empty()) metadata = std::move(header.metadata);
    found = std::move(header.tensors);
  } else {
    found = format::read_torch_archive(file);
  }
  for (TensorInfo& tensor : found) tensor.file = static_cast<std::uint32_t>(files.size());
  paths.push_back(path);
  files.push_back(std::move(file));
  return found;
}

void Checkpoint::Impl::open_folder() {
  const format::WeightFiles weights = format::find_weights(folder);
  warnings = weights.warnings;
  safetensors = weights.safetensors;
  if (weights.index.empty()) {
    tensors = open_file(format::resolve_inside(folder, weights.single.filename()));
  } else {
    open_sharded(weights.index);
  }
}

void Checkpoint::Impl::open_sharded(const fs::path& index_path) {
  format::ShardIndex index =
      format::read_shard_index(format::resolve_inside(folder, index_path.filename()));
  list_missing_shards(folder, index.shards);
  std::vector<std::vector<TensorInfo>> shards;
  for (const std::string& shard : index.shards) {
    shards.push_back(open_file(format::resolve_inside(folder, shard)));
  }
  format::verify_shard_index(index, index_path, shards);
  for (std::vector<TensorInfo>& shard : shards) {
    std::move(shard.begin(), shard.end(), std::back_inserter(tensors));
  }
  warnings.insert(warnings.end(), index.warnings.begin(), index.warnings.end());
}

void Checkpoint::Impl::finish() {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    by_name.emplace(tensors[i].name, i);
    total_bytes += tensors[i].bytes;
    if (tensors[i].name.size() > kLongNameBytes) {
      warnings.push_back("a tensor's name has " + std::to_string(tensors[i].name.size()) +
                         " bytes: '" + printable(tensors[i].name) + "'");
    }
  }
  if (tensors.empty()) warnings.push_back("the checkpoint holds no tensors");
}

Checkpoint Checkpoint::open(const std::string& location) {
  auto impl = std::make_shared<Impl>();
  impl->location = location;
  fs::path path = location;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (location.empty() || location.find('\0') != std::string::npos) {
    throw UsageError({{}, {}, "an empty model argument", "a folder, a file, or org/name", {}});
  }
  if (fs::is_directory(status)) {
    impl->folder = path;
    impl->name = fs::canonical(path).filename().string();
    impl->open_folder();
  } else if (fs::exists(fs::symlink_status(path, error)) ||
             !format::looks_like_hub_name(location)) {
    impl->name = path.filename().string();
    impl->safetensors = !has_torch_extension(path);
    if (path.filename().string().find(".index.json") != std::string::npos) {
      throw UsageError(
          {location, {}, "an index, not a model", {}, "name the folder that holds it"});
    }
    impl->tensors = impl->open_file(path);
  } else {
    const format::CachedModel cached =
        format::find_in_hub_cache(format::hub_cache_root(), location);
    impl->folder = cached.snapshot;
    impl->name = cached.name;
    impl->open_folder();
  }
  impl->finish();
  return Checkpoint(std::move(impl));
}

const std::string& Checkpoint::location() const { return impl_->location; }
const std::string& Checkpoint::name() const { return impl_->name; }
const fs::path& Checkpoint::folder() const { return impl_->folder; }
const std::vector<fs::path>& Checkpoint::files() const { return impl_->paths; }
bool Checkpoint::is_safetensors() const { return impl_->safetensors; }
const std::vector<TensorInfo>& Checkpoint::tensors() const { return impl_->tensors; }
const std::map<std::string, std::string>& Checkpoint::metadata() const { return impl_->metadata; }
const std::vector<std::string>& Checkpoint::warnings() const { return impl_->warnings; }
std::uint64_t Checkpoint::total_bytes() const { return impl_->total_bytes; }

const TensorInfo* Checkpoint::find(std::string_view name) const {
  const auto at = impl_->by_name.find(name);
  return at == impl_->by_name.end() ? nullptr : &impl_->tensors[at->second];
}

void Checkpoint::read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
                      void* out) const {
  if (begin > tensor.bytes || bytes > tensor.bytes - begin) {
    throw UsageError({location(), tensor.name, "a read past its end", {}, {}});
  }
  if (bytes == 0) return;
  if (tensor.file >= impl_->files.size())
    throw UsageError(
        {location(), tensor.name, "a tensor of another checkpoint", "one of its own", {}});
  const format::File& file = impl_->files[tensor.file];
  if (tensor.strides.empty()) return file.read(tensor.offset + begin, out, bytes);
  gather(tensor, *impl_->storages.get(file, tensor), begin, bytes, static_cast<char*>(out));
}

void Checkpoint::verify_unchanged() const {
  for (const format::File& file : impl_->files) file.verify_unchanged();
}

const format::File& CheckpointAccess::file(const Checkpoint& checkpoint, std::uint32_t index) {
  return checkpoint.impl_->files[index];
}

Checkpoint CheckpointAccess::open_adapter(const format::AdapterFiles& files,
                                          const std::string& location) {
  auto impl = std::make_shared<Checkpoint::Impl>();
  impl->location = location;
  impl->name = files.name;
  impl->folder = files.folder;
  impl->safetensors = !has_torch_extension(files.weights);
  impl->tensors = impl->open_file(files.weights);
  impl->finish();
  return Checkpoint(std::move(impl));
}

}  // namespace suture
