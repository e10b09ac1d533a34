#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "suture/ablation.h"

namespace suture::test {

inline ArmMetric share_metric(std::vector<double> records) {
  ArmMetric metric;
  metric.task = "gsm8k";
  metric.name = "exact_match";
  metric.filter = "strict";
  metric.is_share = true;
  for (const double record : records) metric.value += record / static_cast<double>(records.size());
  metric.records = std::move(records);
  return metric;
}

inline ArmMetric loss_metric(std::vector<double> records) {
  ArmMetric metric = share_metric(std::move(records));
  metric.name = "target_nll_per_token";
  metric.filter = "none";
  metric.is_share = metric.higher_is_better = false;
  return metric;
}

inline ArmEffect effect(double difference, double half, double p_holm) {
  ArmEffect made;
  made.reference_value = 0.25;
  made.difference = difference;
  made.standard_error = half / 2;
  made.low = difference - half;
  made.high = difference + half;
  made.p = p_holm / 2;
  made.p_holm = p_holm;
  made.gained = 3;
  made.lost = 1;
  made.smallest_detectable = 1.5 * half;
  return made;
}

inline ArmResult arm(const std::string& name, ArmKind kind, const std::string& family,
                     const std::string& part, const std::string& reference) {
  ArmResult result;
  result.arm.name = name;
  result.arm.kind = kind;
  result.arm.family = family;
  result.arm.part = part;
  result.arm.reference = reference;
  return result;
}

/// The target, the vector, two random ones and two layers left out, on four records with a metric
/// of right or wrong and a continuous one. The effects are made up.
inline Ablation sample_ablation() {
  Ablation ablation;
  const auto add = [&](ArmResult result, std::vector<double> shares, std::vector<double> losses,
                       std::optional<ArmEffect> on_share, std::optional<ArmEffect> on_loss) {
    result.metrics = {share_metric(std::move(shares)), loss_metric(std::move(losses))};
    result.effects = {on_share, on_loss};
    ablation.arms.push_back(std::move(result));
  };
  add(arm("target", ArmKind::kTarget, "controls", "", ""), {1, 0, 0, 0}, {1, 2, 1, 2}, std::nullopt,
      std::nullopt);
  add(arm("vector", ArmKind::kVector, "controls", "", "target"), {1, 1, 1, 0}, {1, 1, 1, 1},
      effect(0.5, 0.2, 0.0004), effect(-0.5, 0.3, 0.02));
  add(arm("random seed=0", ArmKind::kRandom, "controls", "", "target"), {0, 0, 0, 0}, {2, 2, 1, 2},
      effect(-0.25, 0.3, 0.5), effect(0.25, 0.3, 0.5));
  ablation.arms.back().arm.seed = 0;
  add(arm("random seed=1", ArmKind::kRandom, "controls", "", "target"), {1, 0, 0, 0}, {1, 2, 1, 2},
      effect(0, 0.3, 1), effect(0, 0.3, 1));
  ablation.arms.back().arm.seed = 1;
  add(arm("without layer=0", ArmKind::kWithout, "without layer", "layer=0", "vector"), {1, 1, 0, 0},
      {1, 1, 1, 2}, effect(-0.25, 0.2, 0.08), effect(0.25, 0.2, 0.03));
  add(arm("without layer=1", ArmKind::kWithout, "without layer", "layer=1", "vector"), {1, 1, 1, 0},
      {1, 1, 1, 1}, effect(0, 0.1, 1), effect(0, 0.3, 1));
  return ablation;
}

}  // namespace suture::test
