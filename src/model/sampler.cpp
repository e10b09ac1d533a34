#include "model/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "suture/error.h"

namespace suture::model {
namespace {

void require(bool holds, const std::string& found, const std::string& expected) {
  if (!holds) throw UsageError({{}, {}, found, expected, {}});
}

}  // namespace

Sampler::Sampler(const Sampling& sampling) : sampling_(sampling), generator_(sampling.seed) {
  require(sampling.temperature >= 0 && std::isfinite(sampling.temperature),
          "temperature " + std::to_string(sampling.temperature), "0 or more");
  require(sampling.top_k >= 0, "top_k " + std::to_string(sampling.top_k), "0 or more");
  require(sampling.top_p > 0 && sampling.top_p <= 1, "top_p " + std::to_string(sampling.top_p),
          "above 0, at most 1");
}

std::int64_t Sampler::draw(const at::Tensor& logits) {
  const auto* scores = logits.const_data_ptr<float>();
  std::vector<std::int64_t> order(static_cast<std::size_t>(logits.numel()));
  std::iota(order.begin(), order.end(), 0);
  // Equal scores go by id, so that a draw depends on nothing else.
  const auto likelier = [&](std::int64_t a, std::int64_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  };
  if (sampling_.top_k > 0 && sampling_.top_k < logits.numel()) {
    std::partial_sort(order.begin(), order.begin() + sampling_.top_k, order.end(), likelier);
    order.resize(static_cast<std::size_t>(sampling_.top_k));
  } else {
    std::sort(order.begin(), order.end(), likelier);
  }

  std::vector<double> weights;
  for (const std::int64_t token : order)
    weights.push_back(std::exp((scores[token] - scores[order.front()]) / sampling_.temperature));
  const double all = std::accumulate(weights.begin(), weights.end(), 0.0);
  double kept = 0;
  std::size_t count = 0;
  while (count < weights.size() && (count == 0 || kept < sampling_.top_p * all))
    kept += weights[count++];

  double place = static_cast<double>(generator_() >> 11) * 0x1p-53 * kept;
  for (std::size_t i = 0; i < count; ++i) {
    place -= weights[i];
    if (place < 0) return order[i];
  }
  return order[count - 1];
}

}  // namespace suture::model
