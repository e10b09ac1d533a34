#include "core/tensor_source.h"

namespace suture {
namespace {

class CheckpointSource final : public TensorSource {
 public:
  explicit CheckpointSource(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}
  const std::string& name() const override { return checkpoint_.name(); }
  const std::vector<TensorInfo>& tensors() const override { return checkpoint_.tensors(); }
  const TensorInfo* find(std::string_view name) const override { return checkpoint_.find(name); }
  void read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
            void* out) const override {
    checkpoint_.read(tensor, begin, bytes, out);
  }
  void verify_unchanged() const override { checkpoint_.verify_unchanged(); }
  const Checkpoint* checkpoint() const override { return &checkpoint_; }
  bool is_in_file(const TensorInfo&) const override { return true; }

 private:
  Checkpoint checkpoint_;
};

}  // namespace

std::uint64_t TensorSource::bytes_behind(const TensorInfo& tensor, std::uint64_t,
                                         std::uint64_t count) const {
  return count == tensor.elements ? tensor.bytes
                                  : count * static_cast<std::uint64_t>(bytes_of(tensor.dtype));
}

SourcePtr make_source(const Checkpoint& checkpoint) {
  return std::make_shared<CheckpointSource>(checkpoint);
}

}  // namespace suture
