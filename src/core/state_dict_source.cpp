#include <cstring>
#include <unordered_map>
#include <utility>

#include <ATen/ATen.h>

#include "core/scalar_type.h"
#include "core/tensor_source.h"

// Apart from checkpoints as sources, so that a program that only moves files need not load
// LibTorch.
namespace suture {
namespace {

class StateDictSource final : public TensorSource {
 public:
  StateDictSource(const StateDict& weights, std::string name) : name_(std::move(name)) {
    for (const auto& [tensor_name, tensor] : weights) {
      TensorInfo info = describe(tensor_name, tensor);
      info.offset = tensors_.size();  // here, the position among the kept tensors
      infos_.push_back(std::move(info));
      tensors_.push_back(dense(tensor));
    }
    for (const TensorInfo& info : infos_) by_name_.emplace(info.name, &info);
  }

  const std::string& name() const override { return name_; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  const TensorInfo* find(std::string_view name) const override {
    const auto at = by_name_.find(name);
    return at == by_name_.end() ? nullptr : at->second;
  }

  void read(const TensorInfo& info, std::uint64_t begin, std::size_t bytes,
            void* out) const override {
    if (bytes == 0) return;  // an empty tensor has no memory to point to
    const at::Tensor& tensor = tensors_[info.offset];
    if (tensor.is_cpu()) {
      std::memcpy(out, static_cast<const char*>(tensor.const_data_ptr()) + begin, bytes);
      return;
    }
    const auto width = static_cast<std::int64_t>(tensor.element_size());
    const auto first = static_cast<std::int64_t>(begin) / width;
    const at::Tensor part =
        tensor.view({-1}).narrow(0, first, static_cast<std::int64_t>(bytes) / width).cpu();
    std::memcpy(out, part.const_data_ptr(), bytes);
  }

  const at::Tensor* in_memory(const TensorInfo& info) const override {
    return &tensors_[info.offset];
  }

  void verify_unchanged() const override {}
  const Checkpoint* checkpoint() const override { return nullptr; }
  bool is_in_file(const TensorInfo&) const override { return false; }

 private:
  std::string name_;
  std::vector<TensorInfo> infos_;
  std::vector<at::Tensor> tensors_;
  std::unordered_map<std::string_view, const TensorInfo*> by_name_;
};

}  // namespace

SourcePtr make_source(const StateDict& weights, std::string name) {
  return std::make_shared<StateDictSource>(weights, std::move(name));
}

}  // namespace suture
