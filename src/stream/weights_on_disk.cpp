#include "suture/error.h"

#include "stream/weights_store.h"

namespace suture::stream {

WeightsOnDisk::WeightsOnDisk(const Checkpoint& files) : tensors_(files.tensors()) {
  for (const std::filesystem::path& path : files.files())
    files_.push_back(format::OutputFile::reopen(path));
}

std::map<std::string, const TensorInfo*> WeightsOnDisk::open(
    const std::vector<std::string>& names) {
  std::map<std::string, const TensorInfo*> known, places;
  for (const TensorInfo& tensor : tensors_) known[tensor.name] = &tensor;
  for (const std::string& name : names) {
    const auto found = known.find(name);
    if (found == known.end()) throw UsageError({{}, name, "no such tensor", {}, {}});
    places.insert(*found);
  }
  return places;
}

void WeightsOnDisk::write(const TensorInfo& tensor, std::uint64_t begin, const void* data,
                          std::size_t bytes) {
  files_[tensor.file].write(tensor.offset + begin, data, bytes);
}

void WeightsOnDisk::copy(const TensorInfo& tensor, std::uint64_t begin, const format::File& source,
                         std::uint64_t source_offset, std::uint64_t bytes) {
  files_[tensor.file].copy_from(source, source_offset, tensor.offset + begin, bytes);
}

}  // namespace suture::stream
