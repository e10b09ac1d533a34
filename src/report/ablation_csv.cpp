#include <string>

#include "report/ablation_report.h"
#include "report/csv_text.h"

namespace suture::report {
namespace {

constexpr const char* kHeading =
    "arm,kind,family,part,selection,scale,seed,reference,same_weights_as,elements,changed,"
    "norm_ratio,cosine,task,metric,filter,is_share,higher_is_better,records,value,reference_value,"
    "difference,standard_error,low,high,p,p_holm,gained,lost,non_finite,smallest_detectable\n";

const char* truth(bool value) { return value ? "true" : "false"; }

std::string arm_fields(const ArmResult& result) {
  const Arm& arm = result.arm;
  std::string text = csv_field(arm.name) + "," + name_of(arm.kind) + "," + csv_field(arm.family) +
                     "," + csv_field(arm.part) + "," + csv_field(arm.selection.to_string()) + "," +
                     csv_number(arm.scale) + "," + (arm.seed ? std::to_string(*arm.seed) : "") +
                     "," + csv_field(arm.reference) + "," + csv_field(result.same_weights_as) + ",";
  if (!result.realised) return text + ",,,,";
  const RealisedChange& realised = *result.realised;
  return text + std::to_string(realised.elements) + "," + csv_number(realised.changed_share()) +
         "," + csv_number(realised.norm_ratio()) + "," + csv_number(realised.cosine) + ",";
}

std::string metric_fields(const ArmMetric& metric) {
  const std::string records =
      metric.records.empty() ? std::string() : std::to_string(metric.records.size());
  return csv_field(metric.task) + "," + csv_field(metric.name) + "," + csv_field(metric.filter) +
         "," + truth(metric.is_share) + "," + truth(metric.higher_is_better) + "," + records + "," +
         csv_number(metric.value) + ",";
}

std::string effect_fields(const ArmEffect& effect, bool is_share) {
  return csv_number(effect.reference_value) + "," + csv_number(effect.difference) + "," +
         csv_number(effect.standard_error) + "," + csv_number(effect.low) + "," +
         csv_number(effect.high) + "," + csv_number(effect.p) + "," + csv_number(effect.p_holm) +
         "," + (is_share ? std::to_string(effect.gained) : "") + "," +
         (is_share ? std::to_string(effect.lost) : "") + "," + std::to_string(effect.non_finite) +
         "," + csv_number(effect.smallest_detectable);
}

}  // namespace

std::string to_csv(const Ablation& ablation) {
  std::string csv = kHeading;
  for (const ArmResult& result : ablation.arms) {
    const std::string arm = arm_fields(result);
    for (std::size_t i = 0; i < result.metrics.size(); ++i) {
      const ArmMetric& metric = result.metrics[i];
      const bool has_effect = i < result.effects.size() && result.effects[i].has_value();
      csv += arm + metric_fields(metric) +
             (has_effect ? effect_fields(*result.effects[i], metric.is_share) : ",,,,,,,,,,") +
             "\n";
    }
  }
  return csv;
}

}  // namespace suture::report
