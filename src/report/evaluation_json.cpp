#include "report/evaluation_json.h"

#include <nlohmann/json.hpp>

#include "suture/version.h"

namespace suture::report {
namespace {

using Json = nlohmann::ordered_json;

const char* name_of(TaskKind kind) {
  return kind == TaskKind::kChoice       ? "choice"
         : kind == TaskKind::kGeneration ? "generation"
                                         : "text";
}

Json describe(const AnswerFilter& filter) {
  return {{"name", filter.name},
          {"regex", filter.regex},
          {"group_select", filter.group_select},
          {"fallback", filter.fallback}};
}

}  // namespace

Json describe_data(const Task& task) {
  return {{"task", task.settings().name},
          {"version", task.settings().version},
          {"kind", name_of(task.kind())},
          {"data_digest", task.digest()},
          {"records", task.records().size()}};
}

Json describe_decoding(const TaskSettings& settings, const EvaluationOptions& options) {
  return {{"method", "greedy"},
          {"max_new_tokens", options.max_new_tokens.value_or(settings.max_new_tokens)}};
}

Json describe_prompt(const TaskSettings& settings, const EvaluationOptions& options) {
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

Json describe(const EvaluationProtocol& protocol) {
  return {{"model", protocol.model},
          {"architecture", protocol.architecture},
          {"parameters", protocol.parameters},
          {"max_length", protocol.max_length},
          {"model_digest", protocol.model_digest},
          {"tokenizer_digest", protocol.tokenizer_digest},
          {"dtype", protocol.dtype},
          {"device", protocol.device},
          {"limit", protocol.options.limit ? Json(*protocol.options.limit) : Json()},
          {"add_bos", protocol.options.add_bos},
          {"end_tokens", protocol.options.end_tokens},
          {"score_targets", protocol.options.score_targets},
          {"batch", protocol.options.run.batch_size},
          {"suture_version", kVersion}};
}

}  // namespace suture::report
