#include "model/linear.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "core/scalar_type.h"
#include "kernels/weight_product.h"

namespace suture::model {
namespace {

// A widened block of weights fits the cache of a core beside the activations it meets.
constexpr std::int64_t kBlockElements = 1 << 18;

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

at::Tensor converted_product(const at::Tensor& inputs, const LinearWeights& layer) {
  const at::Tensor bias = layer.bias.defined() ? layer.bias.to(inputs.scalar_type()) : at::Tensor();
  return at::linear(inputs, layer.weight.to(inputs.scalar_type()), bias);
}

}  // namespace

void LinearEngine::multiply_few(const at::Tensor& inputs,
                                const std::vector<const LinearWeights*>& layers, at::Tensor& out) {
  std::vector<kernels::LinearLayer> stored;
  for (const LinearWeights* layer : layers) stored.push_back(stored_layer(*layer));
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
  std::int64_t column = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::int64_t rows = layers[i]->weight.size(0);
    if (layers[i]->bias.defined() && stored[i].bias == nullptr)
      out.narrow(1, column, rows).add_(layers[i]->bias);
    column += rows;
  }
}

void LinearEngine::multiply_many(const at::Tensor& inputs, const LinearWeights& layer,
                                 at::Tensor out) {
  const std::int64_t rows = layer.weight.size(0), columns = layer.weight.size(1);
  const bool is_wide = layer.weight.scalar_type() == at::kFloat;  // nothing to widen
  const std::int64_t rows_per_block =
      is_wide ? rows : std::min(rows, std::max<std::int64_t>(16, kBlockElements / columns));
  if (!is_wide && (!block_.defined() || block_.numel() < rows_per_block * columns))
    block_ = at::empty(rows_per_block * columns, at::kFloat);
  for (std::int64_t begin = 0; begin < rows; begin += rows_per_block) {
    const std::int64_t count = std::min(rows_per_block, rows - begin);
    at::Tensor block = layer.weight.narrow(0, begin, count);
    if (!is_wide) block = block_.narrow(0, 0, count * columns).view({count, columns}).copy_(block);
    at::Tensor part = out.narrow(1, begin, count);
    if (layer.bias.defined()) {
      at::addmm_out(part, layer.bias.narrow(0, begin, count).to(at::kFloat), inputs, block.t());
    } else {
      at::mm_out(part, inputs, block.t());
    }
  }
}

at::Tensor LinearEngine::apply(const at::Tensor& inputs,
                               const std::vector<const LinearWeights*>& layers) {
  const bool here = inputs.is_cpu() && inputs.scalar_type() == at::kFloat;
  const bool known = std::all_of(layers.begin(), layers.end(), [](const LinearWeights* layer) {
    return has_kernel(layer->weight);
  });
  if (!here || !known) {
    std::vector<at::Tensor> parts;
    for (const LinearWeights* layer : layers) parts.push_back(converted_product(inputs, *layer));
    return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
  }
  std::int64_t columns = 0;
  for (const LinearWeights* layer : layers) columns += layer->weight.size(0);
  const at::Tensor dense = inputs.contiguous();
  at::Tensor out = at::empty({inputs.size(0), columns}, inputs.options());
  if (static_cast<std::size_t>(inputs.size(0)) <= kernels::kMaxProductInputs) {
    multiply_few(dense, layers, out);
    return out;
  }
  std::int64_t column = 0;
  for (const LinearWeights* layer : layers) {
    const std::int64_t rows = layer->weight.size(0);
    multiply_many(dense, *layer, out.narrow(1, column, rows));
    column += rows;
  }
  return out;
}

}  // namespace suture::model
