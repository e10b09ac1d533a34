#include "ablation/effects.h"

#include <map>
#include <tuple>
#include <utility>

#include "suture/error.h"

#include "evaluate/paired_effect.h"

namespace suture::ablation {
namespace {

// The arms that are corrected together, for one metric: the indices of arm and metric.
using Family = std::vector<std::pair<std::size_t, std::size_t>>;

const ArmMetric* counterpart(const ArmResult& reference, const ArmMetric& metric) {
  for (const ArmMetric& other : reference.metrics)
    if (other.task == metric.task && other.name == metric.name && other.filter == metric.filter)
      return &other;
  return nullptr;
}

std::map<std::tuple<std::string, std::string, std::string, std::string>, Family> families_of(
    const Ablation& ablation) {
  std::map<std::tuple<std::string, std::string, std::string, std::string>, Family> families;
  for (std::size_t a = 0; a < ablation.arms.size(); ++a) {
    const ArmResult& result = ablation.arms[a];
    if (result.arm.reference.empty()) continue;
    for (std::size_t m = 0; m < result.metrics.size(); ++m) {
      const ArmMetric& metric = result.metrics[m];
      families[{result.arm.family, metric.task, metric.name, metric.filter}].emplace_back(a, m);
    }
  }
  return families;
}

ArmEffect effect_of(const ArmMetric& metric, const ArmMetric& reference, std::size_t family) {
  ArmEffect effect;
  effect.reference_value = reference.value;
  effect.difference = metric.value - reference.value;
  if (metric.records.empty() && reference.records.empty()) return effect;
  if (metric.records.size() != reference.records.size())
    throw UsageError({metric.task,
                      {},
                      std::to_string(metric.records.size()) + " records of " + metric.name +
                          " in one arm, " + std::to_string(reference.records.size()) +
                          " in another",
                      "the same records in all arms",
                      {}});
  const auto kind = metric.is_share && reference.is_share ? evaluation::EffectKind::kShare
                                                          : evaluation::EffectKind::kMean;
  const evaluation::PairedEffect paired =
      evaluation::paired_effect(metric.records, reference.records, kind, family);
  effect.difference = paired.difference;
  effect.standard_error = paired.standard_error;
  if (paired.interval) {
    effect.low = paired.interval->low;
    effect.high = paired.interval->high;
  }
  effect.p = paired.p_value;
  effect.gained = paired.gained;
  effect.lost = paired.lost;
  effect.non_finite = paired.non_finite;
  effect.smallest_detectable = paired.smallest_detectable;
  return effect;
}

void correct(const Family& family, Ablation& ablation) {
  std::vector<double> p_values;
  std::vector<ArmEffect*> tested;
  for (const auto& [arm, metric] : family) {
    auto& effect = ablation.arms[arm].effects[metric];
    if (!effect || !effect->p) continue;
    p_values.push_back(*effect->p);
    tested.push_back(&*effect);
  }
  const std::vector<double> corrected = evaluation::holm(p_values);
  for (std::size_t i = 0; i < tested.size(); ++i) tested[i]->p_holm = corrected[i];
}

}  // namespace

void add_effects(Ablation& ablation) {
  for (ArmResult& result : ablation.arms) result.effects.assign(result.metrics.size(), {});
  for (const auto& [key, family] : families_of(ablation)) {
    for (const auto& [arm, metric] : family) {
      ArmResult& result = ablation.arms[arm];
      const ArmResult* reference = ablation.find(result.arm.reference);
      const ArmMetric* other =
          reference != nullptr ? counterpart(*reference, result.metrics[metric]) : nullptr;
      if (other != nullptr)
        result.effects[metric] = effect_of(result.metrics[metric], *other, family.size());
    }
    correct(family, ablation);
  }
}

}  // namespace suture::ablation
