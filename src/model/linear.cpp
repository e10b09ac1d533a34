#include "model/linear.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "core/scalar_type.h"
#include "kernels/weight_product.h"

namespace suture::model {
namespace {

// Widened weights of a layer, or of a part of a large one: 32 MiB.
constexpr std::int64_t kBlockElements = 8 << 20;

bool has_kernel(const at::Tensor& weight) {
  const at::ScalarType type = weight.scalar_type();
  return (type == at::kBFloat16 || type == at::kHalf || type == at::kFloat) &&
         weight.is_contiguous();
}

kernels::LinearLayer stored_layer(const LinearWeights& layer) {
  kernels::LinearLayer stored;
  stored.dtype = dtype_of(layer.weight.scalar_type());
  stored.weight = layer.weight.const_data_ptr();
  stored.rows = static_cast<std::size_t>(layer.weight.size(0));
  stored.columns = static_cast<std::size_t>(layer.weight.size(1));
  const bool same_dtype =
      layer.bias.defined() && layer.bias.scalar_type() == layer.weight.scalar_type();
  if (same_dtype && layer.bias.is_contiguous()) stored.bias = layer.bias.const_data_ptr();
  return stored;
}

at::Tensor joined(const std::vector<at::Tensor>& parts) {
  return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
}

// LibTorch takes MKL for float32 on the CPU; oneDNN, which it holds too, does 210 GFLOP/s where MKL
// does 165 to 195 on two cores of AMD's Zen 4.
at::Tensor dense_product(const at::Tensor& inputs, const at::Tensor& weight,
                         const at::Tensor& bias) {
  using Scalars = c10::List<std::optional<at::Scalar>>;
  using Product = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                             std::string_view, Scalars, std::optional<std::string_view>);
  // No public operation: another LibTorch may call it otherwise, or have none.
  static const auto one_dnn = [] {
    auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    const bool is_known =
        found && c10::toString(found->schema()) ==
                     "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, "
                     "Scalar?[] scalars, str? algorithm) -> Tensor Y";
    return is_known ? found : std::nullopt;
  }();
  if (!one_dnn || !at::globalContext().userEnabledMkldnn() || !at::globalContext().hasMKLDNN())
    return at::linear(inputs, weight, bias);
  const std::optional<at::Tensor> offset =
      bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt;
  return one_dnn->typed<Product>().call(inputs, weight, offset, "none", Scalars(), "");
}

at::Tensor converted_product(const at::Tensor& inputs, const LinearWeights& layer) {
  const at::Tensor bias = layer.bias.defined() ? layer.bias.to(inputs.scalar_type()) : at::Tensor();
  return at::linear(inputs, layer.weight.to(inputs.scalar_type()), bias);
}

}  // namespace

std::vector<at::Tensor> LinearEngine::multiply_few(
    const at::Tensor& inputs, const std::vector<const LinearWeights*>& layers) {
  std::vector<kernels::LinearLayer> stored;
  std::int64_t columns = 0;
  for (const LinearWeights* layer : layers) {
    stored.push_back(stored_layer(*layer));
    columns += layer->weight.size(0);
  }
  at::Tensor out = at::empty({inputs.size(0), columns}, inputs.options());
  const auto* from = inputs.const_data_ptr<float>();
  auto* to = out.mutable_data_ptr<float>();
  const auto count = static_cast<std::size_t>(inputs.size(0));
  const auto stride = static_cast<std::size_t>(out.size(1));
  team_->run([&](unsigned part) {
    float* column = to;
    for (const kernels::LinearLayer& layer : stored) {
      const std::size_t begin = layer.rows * part / team_->size();
      const std::size_t end = layer.rows * (part + 1) / team_->size();
      kernels::weight_product(layer, from, count, begin, end, column, stride);
      column += layer.rows;
    }
  });
  std::vector<at::Tensor> parts;
  std::int64_t column = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    parts.push_back(out.narrow(1, column, layers[i]->weight.size(0)));
    if (layers[i]->bias.defined() && stored[i].bias == nullptr) parts[i].add_(layers[i]->bias);
    column += layers[i]->weight.size(0);
  }
  return parts;
}

at::Tensor LinearEngine::multiply_many(const at::Tensor& inputs, const LinearWeights& layer) {
  const at::Tensor bias = layer.bias.defined() ? layer.bias.to(at::kFloat) : at::Tensor();
  if (layer.weight.scalar_type() == at::kFloat) return dense_product(inputs, layer.weight, bias);
  const std::int64_t rows = layer.weight.size(0), columns = layer.weight.size(1);
  const std::int64_t rows_per_block =
      std::min(rows, std::max<std::int64_t>(16, kBlockElements / columns));
  if (!block_.defined() || block_.numel() < rows_per_block * columns)
    block_ = at::empty(rows_per_block * columns, at::kFloat);
  std::vector<at::Tensor> parts;
  for (std::int64_t begin = 0; begin < rows; begin += rows_per_block) {
    const std::int64_t count = std::min(rows_per_block, rows - begin);
    const at::Tensor block = block_.narrow(0, 0, count * columns).view({count, columns});
    block.copy_(layer.weight.narrow(0, begin, count));
    parts.push_back(
        dense_product(inputs, block, bias.defined() ? bias.narrow(0, begin, count) : at::Tensor()));
  }
  return joined(parts);
}

std::vector<at::Tensor> LinearEngine::apply_each(const at::Tensor& inputs,
                                                 const std::vector<const LinearWeights*>& layers) {
  const bool here = inputs.is_cpu() && inputs.scalar_type() == at::kFloat;
  const bool known = std::all_of(layers.begin(), layers.end(), [](const LinearWeights* layer) {
    return has_kernel(layer->weight);
  });
  const bool is_few = static_cast<std::size_t>(inputs.size(0)) <= kernels::kMaxProductInputs;
  const at::Tensor dense = inputs.contiguous();
  if (here && known && is_few) return multiply_few(dense, layers);
  std::vector<at::Tensor> parts;
  for (const LinearWeights* layer : layers) {
    parts.push_back(here && known ? multiply_many(dense, *layer)
                                  : converted_product(inputs, *layer));
  }
  return parts;
}

at::Tensor LinearEngine::apply(const at::Tensor& inputs,
                               const std::vector<const LinearWeights*>& layers) {
  return joined(apply_each(inputs, layers));
}

}  // namespace suture::model
