#include <cstring>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/scalar_type.h"
#include "stream/weights_store.h"

namespace suture::stream {

WeightsInMemory::WeightsInMemory(StateDict weights) : weights_(std::move(weights)) {}

std::map<std::string, const TensorInfo*> WeightsInMemory::open(
    const std::vector<std::string>& names) {
  open_.clear();
  std::map<std::string, const TensorInfo*> places;
  for (const std::string& name : names) {
    const at::Tensor weight = weights_.at(name).detach();
    const TensorInfo& info = infos_.insert_or_assign(name, describe(name, weight)).first->second;
    const bool is_ours = weight.is_cpu() && weight.is_contiguous();
    open_[&info] = {weight, is_ours ? weight : at::empty(info.shape, weight.scalar_type())};
    places[name] = &info;
  }
  return places;
}

void WeightsInMemory::close() {
  const at::NoGradGuard no_gradients;
  for (const auto& [info, tensor] : open_)
    if (!tensor.weight.is_same(tensor.dense)) tensor.weight.copy_(tensor.dense);
  open_.clear();
}

char* WeightsInMemory::at(const TensorInfo& tensor, std::uint64_t begin) const {
  return static_cast<char*>(open_.at(&tensor).dense.mutable_data_ptr()) + begin;
}

void WeightsInMemory::write(const TensorInfo& tensor, std::uint64_t begin, const void* data,
                            std::size_t bytes) {
  if (bytes > 0) std::memcpy(at(tensor, begin), data, bytes);
}

void WeightsInMemory::copy(const TensorInfo& tensor, std::uint64_t begin,
                           const format::File& source, std::uint64_t source_offset,
                           std::uint64_t bytes) {
  if (bytes > 0) source.read(source_offset, at(tensor, begin), bytes);
}

}  // namespace suture::stream
