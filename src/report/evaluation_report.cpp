#include "report/evaluation_report.h"

#include <cstdio>

#include <nlohmann/json.hpp>

#include "suture/error.h"

#include "report/evaluation_json.h"

namespace suture::report {
namespace {

using Json = nlohmann::ordered_json;

std::string fixed(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

std::string label_of(const MetricResult& metric) {
  return metric.filter == "none" ? metric.name : metric.name + "," + metric.filter;
}

template <typename Value>
Json optional(const std::optional<Value>& value) {
  return value ? Json(*value) : Json();
}

Json describe(const MetricResult& metric) {
  return {{"metric", metric.name},
          {"filter", metric.filter},
          {"value", metric.value},
          {"standard_error", optional(metric.standard_error)},
          {"interval_95", metric.low ? Json{*metric.low, *metric.high} : Json()},
          {"interval_kind", metric.low ? Json(metric.interval) : Json()},
          {"higher_is_better", metric.higher_is_better}};
}

Json describe(const TaskEvaluation& scored, const EvaluationOptions& options) {
  const TaskSettings& settings = scored.task.settings();
  std::size_t at_limit = 0;
  for (const RecordResult& record : scored.evaluation.records) at_limit += record.ran_into_limit;
  Json json = describe_data(scored.task);
  json["scored_records"] = scored.evaluation.records.size();
  json["truncated_records"] = scored.evaluation.truncated_records;
  if (scored.task.kind() == TaskKind::kGeneration) {
    json["decoding"] = describe_decoding(settings, options);
    json["ran_into_limit"] = at_limit;
  }
  json["prompt"] = describe_prompt(settings, options);
  json["primary_metric"] = settings.primary_metric;
  json["metrics"] = Json::array();
  for (const MetricResult& metric : scored.evaluation.metrics)
    json["metrics"].push_back(describe(metric));
  return json;
}

}  // namespace

std::string to_text(const std::vector<TaskEvaluation>& tasks) {
  std::vector<std::vector<std::string>> rows{
      {"task", "metric", "value", "std. error", "95 % interval", "records"}};
  for (const TaskEvaluation& scored : tasks)
    for (const MetricResult& metric : scored.evaluation.metrics) {
      const bool known = metric.standard_error.has_value();
      rows.push_back({printable(scored.task.name()), printable(label_of(metric)),
                      fixed(metric.value), known ? fixed(*metric.standard_error) : "-",
                      known ? fixed(*metric.low) + " to " + fixed(*metric.high) : "-",
                      std::to_string(scored.evaluation.records.size())});
    }
  return align(rows);
}

std::string to_json(const EvaluationProtocol& protocol, const std::vector<TaskEvaluation>& tasks) {
  Json root{{"schema", "suture.eval/1"}};
  root["protocol"] = describe(protocol);
  root["protocol"]["seconds"] = protocol.seconds;
  root["tasks"] = Json::array();
  for (const TaskEvaluation& scored : tasks)
    root["tasks"].push_back(describe(scored, protocol.options));
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string completion_lines(const TaskEvaluation& scored) {
  std::string lines;
  for (const RecordResult& record : scored.evaluation.records) {
    const std::string& id = scored.task.records()[record.index].id;
    const Json json{{"task_id", id.empty() ? std::to_string(record.index) : id},
                    {"completion", record.completion}};
    lines += json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return lines;
}

}  // namespace suture::report
