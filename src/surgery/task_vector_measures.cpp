#include <algorithm>
#include <cmath>
#include <functional>

#include "suture/task_vector.h"

#include "surgery/measure.h"

namespace suture {
namespace {

// Adds a measure up by layer; `finish` turns a sum into what is reported.
LayerMeasure by_layer(const std::vector<TensorMeasures>& tensors,
                      const std::function<double(const TensorMeasures&)>& part,
                      const std::function<double(double)>& finish) {
  LayerMeasure result;
  for (const TensorMeasures& tensor : tensors)
    result.tensors.push_back({tensor.name, finish(part(tensor))});
  for (const std::size_t i : in_name_order(tensors)) {
    const TensorMeasures& tensor = tensors[i];
    const double value = part(tensor);
    result.total += value;
    const Site site = site_of(tensor.name);
    if (!site.layer) {
      result.outside_layers += value;
      continue;
    }
    const auto layer = static_cast<std::size_t>(*site.layer);
    result.layers.resize(std::max(result.layers.size(), layer + 1));
    result.layers[layer] += value;
  }
  result.total = finish(result.total);
  result.outside_layers = finish(result.outside_layers);
  std::transform(result.layers.begin(), result.layers.end(), result.layers.begin(), finish);
  return result;
}

double unchanged(double value) { return value; }
double root(double value) { return std::sqrt(value); }

double squares_of(const TensorMeasures& tensor, std::size_t vector) {
  return tensor.values[vector].sum_of_squares;
}

// dot / (|a| |b|), and 0 where one of them is zero.
void divide_by_norms(double& dot, double a, double b) { dot = a * b > 0 ? dot / (a * b) : 0; }

}  // namespace

LayerMeasure TaskVector::norms(const RunOptions& options) const {
  const auto tensors = measure({{*this, nullptr}}, options);
  return by_layer(
      tensors, [](const TensorMeasures& t) { return squares_of(t, 0); }, root);
}

LayerMeasure TaskVector::dots(const TaskVector& other, const RunOptions& options) const {
  const auto tensors = measure({{*this, nullptr}, {other, nullptr}}, options);
  return by_layer(
      tensors, [](const TensorMeasures& t) { return t.pairs[0].dot; }, unchanged);
}

LayerMeasure TaskVector::cosines(const TaskVector& other, const RunOptions& options) const {
  const auto tensors = measure({{*this, nullptr}, {other, nullptr}}, options);
  LayerMeasure result = by_layer(
      tensors, [](const TensorMeasures& t) { return t.pairs[0].dot; }, unchanged);
  const auto a = by_layer(
      tensors, [](const TensorMeasures& t) { return squares_of(t, 0); }, root);
  const auto b = by_layer(
      tensors, [](const TensorMeasures& t) { return squares_of(t, 1); }, root);
  divide_by_norms(result.total, a.total, b.total);
  divide_by_norms(result.outside_layers, a.outside_layers, b.outside_layers);
  for (std::size_t i = 0; i < result.layers.size(); ++i)
    divide_by_norms(result.layers[i], a.layers[i], b.layers[i]);
  for (std::size_t i = 0; i < result.tensors.size(); ++i) {
    divide_by_norms(result.tensors[i].value, a.tensors[i].value, b.tensors[i].value);
  }
  return result;
}

}  // namespace suture
