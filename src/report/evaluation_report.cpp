#include "report/evaluation_report.h"

#include <cstdio>

#include <nlohmann/json.hpp>

#include "suture/error.h"
#include "suture/version.h"

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

const char* name_of(TaskKind kind) {
  return kind == TaskKind::kChoice       ? "choice"
         : kind == TaskKind::kGeneration ? "generation"
                                         : "text";
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

Json describe(const AnswerFilter& filter) {
  return {{"name", filter.name},
          {"regex", filter.regex},
          {"group_select", filter.group_select},
          {"fallback", filter.fallback}};
}

Json prompt_settings(const TaskSettings& settings, const EvaluationOptions& options) {
  Json json{{"description", settings.description},
            {"num_fewshot", settings.fewshot.size()},
            {"fewshot_delimiter", settings.fewshot_delimiter},
            {"target_delimiter", settings.target_delimiter},
            {"chat_template", options.chat ? Json(options.chat->jinja()) : Json()},
            {"system_instruction", options.system_instruction},
            {"until", settings.until}};
  json["filters"] = Json::array();
  for (const AnswerFilter& filter : settings.filters) json["filters"].push_back(describe(filter));
  json["regexes_to_ignore"] = settings.comparison.regexes_to_ignore;
  json["ignore_case"] = settings.comparison.ignore_case;
  json["ignore_punctuation"] = settings.comparison.ignore_punctuation;
  json["ignore_numbers"] = settings.comparison.ignore_numbers;
  return json;
}

Json describe(const TaskEvaluation& scored, const EvaluationOptions& options) {
  const TaskSettings& settings = scored.task.settings();
  std::size_t at_limit = 0;
  for (const RecordResult& record : scored.evaluation.records) at_limit += record.ran_into_limit;
  Json json{{"task", settings.name},
            {"version", settings.version},
            {"kind", name_of(scored.task.kind())},
            {"data_digest", scored.task.digest()},
            {"records", scored.task.records().size()},
            {"scored_records", scored.evaluation.records.size()},
            {"truncated_records", scored.evaluation.truncated_records}};
  if (scored.task.kind() == TaskKind::kGeneration) {
    json["decoding"] = {
        {"method", "greedy"},
        {"max_new_tokens", options.max_new_tokens.value_or(settings.max_new_tokens)}};
    json["ran_into_limit"] = at_limit;
  }
  json["prompt"] = prompt_settings(settings, options);
  json["primary_metric"] = settings.primary_metric;
  json["metrics"] = Json::array();
  for (const MetricResult& metric : scored.evaluation.metrics)
    json["metrics"].push_back(describe(metric));
  return json;
}

Json describe(const EvaluationProtocol& protocol) {
  return {{"model", protocol.model},
          {"architecture", protocol.architecture},
          {"parameters", protocol.parameters},
          {"max_length", protocol.max_length},
          {"model_digest", protocol.model_digest},
          {"tokenizer_digest", protocol.tokenizer_digest},
          {"dtype", protocol.dtype},
          {"device", protocol.device},
          {"limit", optional(protocol.options.limit)},
          {"add_bos", protocol.options.add_bos},
          {"end_tokens", protocol.options.end_tokens},
          {"score_targets", protocol.options.score_targets},
          {"batch", protocol.options.run.batch_size},
          {"suture_version", kVersion},
          {"seconds", protocol.seconds}};
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
