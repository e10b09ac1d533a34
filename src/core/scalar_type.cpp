#include "core/scalar_type.h"

#include <array>
#include <dlfcn.h>
#include <mutex>
#include <utility>

#include <ATen/ATen.h>

#include "suture/error.h"

namespace suture {
namespace {

constexpr std::array<std::pair<Dtype, at::ScalarType>, 19> kPairs{{
    {Dtype::kBool, at::kBool},
    {Dtype::kF4, at::kFloat4_e2m1fn_x2},
    {Dtype::kU8, at::kByte},
    {Dtype::kI8, at::kChar},
    {Dtype::kF8E5M2, at::kFloat8_e5m2},
    {Dtype::kF8E4M3, at::kFloat8_e4m3fn},
    {Dtype::kF8E8M0, at::kFloat8_e8m0fnu},
    {Dtype::kF8E4M3FNUZ, at::kFloat8_e4m3fnuz},
    {Dtype::kF8E5M2FNUZ, at::kFloat8_e5m2fnuz},
    {Dtype::kI16, at::kShort},
    {Dtype::kU16, at::kUInt16},
    {Dtype::kF16, at::kHalf},
    {Dtype::kBF16, at::kBFloat16},
    {Dtype::kI32, at::kInt},
    {Dtype::kU32, at::kUInt32},
    {Dtype::kF32, at::kFloat},
    {Dtype::kC64, at::kComplexFloat},
    {Dtype::kF64, at::kDouble},
    {Dtype::kI64, at::kLong},
}};

// The library links libtorch_cpu alone; CUDA's part registers itself when it is loaded.
void load_cuda_library() {
  static std::once_flag once;
  std::call_once(once, [] { ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL); });
}

}  // namespace

std::optional<at::ScalarType> scalar_type_of(Dtype dtype) {
  if (dtype == Dtype::kU64) return at::kUInt64;
  for (const auto& [ours, theirs] : kPairs) {
    if (ours == dtype) return theirs;
  }
  return std::nullopt;
}

Dtype dtype_of(at::ScalarType type) {
  if (type == at::kUInt64) return Dtype::kU64;
  for (const auto& [ours, theirs] : kPairs) {
    if (theirs == type) return ours;
  }
  throw UsageError({{},
                    {},
                    std::string("a tensor of type ") + at::toString(type),
                    "a dtype that safetensors knows",
                    "convert it first"});
}

TensorInfo describe(const std::string& name, const at::Tensor& tensor) {
  TensorInfo info;
  info.name = name;
  info.dtype = dtype_of(tensor.scalar_type());
  info.shape = tensor.sizes().vec();
  info.elements = static_cast<std::uint64_t>(tensor.numel());
  info.bytes = tensor.nbytes();
  if (info.dtype == Dtype::kF4) {
    if (info.shape.empty())
      throw UsageError({{}, name, "a pair of 4-bit floats without a dimension", "one", {}});
    info.shape.back() *= 2;
    info.elements *= 2;
  }
  return info;
}

std::vector<std::int64_t> sizes_of(const TensorInfo& info) {
  std::vector<std::int64_t> sizes = info.shape;
  if (info.dtype != Dtype::kF4) return sizes;
  if (sizes.empty() || sizes.back() % 2 != 0)
    throw UsageError(
        {{}, info.name, "4-bit floats of shape " + to_string(sizes), "an even last dimension", {}});
  sizes.back() /= 2;
  return sizes;
}

at::Tensor dense(const at::Tensor& tensor) {
  // Views that are conjugate or negative by a flag alone hold other numbers in memory.
  const at::Tensor plain = tensor.detach().resolve_conj().resolve_neg();
  if (plain.is_contiguous()) return plain;
  // LibTorch copies no 4-bit floats.
  if (plain.scalar_type() == at::kFloat4_e2m1fn_x2)
    return plain.view(at::kByte).contiguous().view(plain.scalar_type());
  return plain.contiguous();
}

void require_device(at::Device device) {
  if (device.is_cpu()) return;
  if (device.is_cuda()) {
    if (!at::globalContext().hasCUDA()) load_cuda_library();
    const auto count = at::globalContext().hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
    if (count > 0 && (!device.has_index() || device.index() < count)) return;
    throw UsageError({{},
                      {},
                      "no device " + device.str() + " (" + std::to_string(count) + " CUDA devices)",
                      {},
                      "use --device cpu"});
  }
  throw UsageError({{}, {}, "device " + device.str(), "cpu or cuda", {}});
}

}  // namespace suture
