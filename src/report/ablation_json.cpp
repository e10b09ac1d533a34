#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "report/ablation_report.h"
#include "report/evaluation_json.h"
#include "surgery/realised_change.h"

namespace suture::report {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no other numbers than finite ones.
Json number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

Json number(const std::optional<double>& value) { return value ? number(*value) : Json(); }

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

// How effects were computed. Fixed for the schema's version.
Json statistics() {
  return {{"pairing", "by record"},
          {"confidence", 0.95},
          {"shares", {{"test", "exact McNemar"}, {"interval", "Bonett-Price"}}},
          {"means", {{"test", "paired t"}, {"interval", "paired t"}}},
          {"correction", "Holm over the family"},
          {"power", 0.8}};
}

Json describe(const AblationProtocol& protocol) {
  Json json{{"command", protocol.command},
            {"vector", protocol.vector},
            {"vector_digest", protocol.vector_digest},
            {"outside_evaluator", text_or_null(protocol.outside_evaluator)}};
  json.update(describe(protocol.evaluation));
  return json;
}

Json describe(const Task& task, const EvaluationOptions& options) {
  const TaskSettings& settings = task.settings();
  Json json = describe_data(task);
  const std::size_t records = task.records().size();
  json["scored_records"] = std::min(options.limit.value_or(records), records);
  if (task.kind() == TaskKind::kGeneration) json["decoding"] = describe_decoding(settings, options);
  json["prompt"] = describe_prompt(settings, options);
  json["primary_metric"] = settings.primary_metric;
  return json;
}

Json describe(const ArmEffect& effect, bool is_share) {
  return {{"reference_value", number(effect.reference_value)},
          {"difference", number(effect.difference)},
          {"standard_error", number(effect.standard_error)},
          {"interval_95", effect.low && effect.high
                              ? Json::array({number(*effect.low), number(*effect.high)})
                              : Json()},
          {"p", number(effect.p)},
          {"p_holm", number(effect.p_holm)},
          {"gained", is_share ? Json(effect.gained) : Json()},
          {"lost", is_share ? Json(effect.lost) : Json()},
          {"non_finite", effect.non_finite},
          {"smallest_detectable", number(effect.smallest_detectable)}};
}

Json describe(const ArmMetric& metric, const std::optional<ArmEffect>& effect) {
  Json json{{"task", metric.task},
            {"metric", metric.name},
            {"filter", metric.filter},
            {"is_share", metric.is_share},
            {"higher_is_better", metric.higher_is_better},
            {"value", number(metric.value)}};
  json["effect"] = effect ? describe(*effect, metric.is_share) : Json();
  json["records"] = Json::array();
  for (const double record : metric.records) json["records"].push_back(number(record));
  return json;
}

Json describe(const ArmResult& result) {
  const Arm& arm = result.arm;
  Json json{{"name", arm.name},
            {"kind", name_of(arm.kind)},
            {"family", arm.family},
            {"part", text_or_null(arm.part)},
            {"selection", arm.selection.to_string()},
            {"scale", number(arm.scale)},
            {"seed", arm.seed ? Json(*arm.seed) : Json()},
            {"reference", text_or_null(arm.reference)},
            {"same_weights_as", text_or_null(result.same_weights_as)},
            {"realised", result.realised ? suture::describe(*result.realised) : Json()}};
  json["metrics"] = Json::array();
  for (std::size_t i = 0; i < result.metrics.size(); ++i)
    json["metrics"].push_back(
        describe(result.metrics[i], i < result.effects.size() ? result.effects[i] : std::nullopt));
  return json;
}

std::string compact(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool holds_parts(const Json& json) {
  return std::any_of(json.begin(), json.end(),
                     [](const Json& part) { return part.is_structured(); });
}

// Indented, but a list of plain values takes one line: records are many.
void print(const Json& json, std::size_t indent, std::string& text) {
  if (!json.is_structured() || json.empty() || (json.is_array() && !holds_parts(json))) {
    text += compact(json);
    return;
  }
  const std::string margin(indent + 2, ' ');
  const char* separator = "\n";
  text += json.is_array() ? "[" : "{";
  for (const auto& [key, part] : json.items()) {
    text += separator + margin + (json.is_array() ? "" : compact(Json(key)) + ": ");
    print(part, indent + 2, text);
    separator = ",\n";
  }
  text += "\n" + std::string(indent, ' ') + (json.is_array() ? "]" : "}");
}

}  // namespace

std::string to_json(const AblationProtocol& protocol, const Ablation& ablation) {
  Json root{{"schema", "suture.ablation/1"}};
  root["protocol"] = describe(protocol);
  root["statistics"] = statistics();
  root["tasks"] = Json::array();
  for (const Task& task : protocol.tasks)
    root["tasks"].push_back(describe(task, protocol.evaluation.options));
  root["arms"] = Json::array();
  for (const ArmResult& result : ablation.arms) root["arms"].push_back(describe(result));
  std::string text;
  print(root, 0, text);
  return text + "\n";
}

}  // namespace suture::report
