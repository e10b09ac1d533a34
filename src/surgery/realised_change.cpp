#include "surgery/realised_change.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <nlohmann/json.hpp>

#include "suture/site.h"

namespace suture {
namespace {

struct Part {
  std::uint64_t elements = 0;
  kernels::ChangeSums sums;

  void add(std::uint64_t more, const kernels::ChangeSums& next) {
    elements += more;
    sums.append(next);
  }

  RealisedChange finish() const {
    RealisedChange change;
    change.elements = elements;
    change.changed = sums.changed;
    change.non_finite = sums.non_finite;
    change.wanted_norm = std::sqrt(sums.wanted_squares);
    change.realised_norm = std::sqrt(sums.realised_squares);
    const double norms = change.wanted_norm * change.realised_norm;
    change.cosine = norms > 0 && std::isfinite(norms) ? sums.dot / norms : 0;
    return change;
  }
};

std::uint64_t elements_reached(const OutputTensor& output) {
  std::uint64_t elements = 0;
  for (const Segment& segment : output.segments)
    elements += segment.terms.empty() ? 0 : segment.count;
  return elements;
}

}  // namespace

nlohmann::ordered_json describe(const RealisedChange& change) {
  return {{"elements", change.elements},
          {"changed", change.changed_share()},
          {"non_finite", change.non_finite},
          {"wanted_norm", change.wanted_norm},
          {"realised_norm", change.realised_norm},
          {"norm_ratio", change.norm_ratio()},
          {"cosine", change.cosine}};
}

nlohmann::ordered_json describe(const RealisedChanges& changes) {
  nlohmann::ordered_json json{{"total", describe(changes.total)},
                              {"layers", nlohmann::ordered_json::array()},
                              {"outside_layers", describe(changes.outside_layers)}};
  for (std::size_t layer = 0; layer < changes.layers.size(); ++layer) {
    if (changes.layers[layer].elements == 0) continue;  // not reached
    nlohmann::ordered_json entry{{"layer", layer}};
    entry.update(describe(changes.layers[layer]));
    json["layers"].push_back(std::move(entry));
  }
  return json;
}

RealisedChanges roll_up(const std::vector<OutputTensor>& outputs,
                        const std::vector<kernels::ChangeSums>& sums) {
  std::vector<std::size_t> order(outputs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return outputs[a].info.name < outputs[b].info.name;
  });
  Part total, outside;
  std::vector<Part> layers;
  std::vector<std::pair<std::string, RealisedChange>> tensors;
  for (const std::size_t i : order) {
    const std::uint64_t elements = elements_reached(outputs[i]);
    if (elements == 0) continue;
    const Site site = site_of(outputs[i].info.name);
    if (site.layer && layers.size() <= static_cast<std::size_t>(*site.layer))
      layers.resize(static_cast<std::size_t>(*site.layer) + 1);
    (site.layer ? layers[static_cast<std::size_t>(*site.layer)] : outside).add(elements, sums[i]);
    total.add(elements, sums[i]);
    Part tensor;
    tensor.add(elements, sums[i]);
    tensors.emplace_back(outputs[i].info.name, tensor.finish());
  }
  RealisedChanges changes;
  changes.total = total.finish();
  changes.outside_layers = outside.finish();
  changes.tensors = std::move(tensors);
  for (const Part& layer : layers) changes.layers.push_back(layer.finish());
  return changes;
}

}  // namespace suture
