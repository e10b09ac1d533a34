#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "suture/version.h"

#include "evaluate/prompt.h"
#include "evaluate/python_text.h"
#include "evaluate/sha256.h"
#include "report/evaluation_report.h"

namespace suture::report {
namespace {

// Python keeps the order of keys, and hashes what it prints.
using Json = nlohmann::ordered_json;
using evaluation::float_text;
using evaluation::sha256_hex;

std::string printed(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// What our own reports have beyond the harness's metrics.
bool harness_knows(const std::string& metric) {
  return metric != "gold_log_probability" && metric != "margin" && metric != "nll_per_token" &&
         metric != "target_nll_per_token";
}

// The harness gives an error for means alone; its perplexities have none.
bool harness_has_error(const std::string& metric) {
  return metric.starts_with("acc") || metric == "exact_match";
}

std::string target_of(const TaskEvaluation& scored, const TaskRecord& record) {
  switch (scored.task.kind()) {
    case TaskKind::kChoice:
      return std::to_string(record.gold);
    case TaskKind::kGeneration:
      return record.target.value_or("");
    default:
      return record.text;
  }
}

Json generation_settings(const EvaluationOptions& options, const TaskSettings& settings,
                         const std::vector<std::string>& until) {
  return {{"until", until},
          {"do_sample", false},
          {"max_gen_toks", options.max_new_tokens.value_or(settings.max_new_tokens)}};
}

Json scores_text(const RecordResult& result, std::size_t i) {
  return {float_text(result.log_probabilities[i]), result.greedy[i] ? "True" : "False"};
}

// The texts a model was asked with, its responses, and what one filter made of them.
void add_exchange(Json& sample, const EvaluationProtocol& protocol, const TaskEvaluation& scored,
                  const RecordResult& result, std::size_t filter) {
  const TaskRecord& record = scored.task.records()[result.index];
  Json arguments = Json::object(), responses = Json::array(), filtered = Json::array();
  if (scored.task.kind() == TaskKind::kChoice) {
    for (std::size_t i = 0; i < record.continuations.size(); ++i) {
      arguments["gen_args_" + std::to_string(i)] = {
          {"arg_0", result.prompt},
          {"arg_1", evaluation::continuation_of(record, i, protocol.options)}};
      responses.push_back(Json::array({scores_text(result, i)}));
      filtered.push_back(scores_text(result, i));
    }
  } else if (scored.task.kind() == TaskKind::kGeneration) {
    arguments["gen_args_0"] = {
        {"arg_0", result.prompt},
        {"arg_1", generation_settings(protocol.options, scored.task.settings(), record.until)}};
    responses.push_back(Json::array({result.completion}));
    filtered.push_back(result.answers[filter]);
  } else {
    arguments["gen_args_0"] = {{"arg_0", record.text}};
    responses.push_back(Json::array({float_text(result.log_probabilities[0])}));
    filtered.push_back(float_text(result.log_probabilities[0]));
  }
  sample["arguments"] = std::move(arguments);
  sample["resps"] = std::move(responses);
  sample["filtered_resps"] = std::move(filtered);
}

// Each metric of the record under one filter.
Json record_metrics(const TaskEvaluation& scored, const RecordResult& result,
                    const std::string& filter) {
  Json values = Json::object();
  if (scored.task.kind() == TaskKind::kText) {
    const std::string& text = scored.task.records()[result.index].text;
    const double sum = result.log_probabilities[0];
    values["word_perplexity"] = Json::array({sum, evaluation::count_words(text)});
    values["byte_perplexity"] = Json::array({sum, text.size()});
    values["bits_per_byte"] = Json::array({sum, text.size()});
    return values;
  }
  for (const RecordMetric& metric : result.metrics)
    if (metric.filter == filter && harness_knows(metric.name)) values[metric.name] = metric.value;
  return values;
}

std::vector<std::string> filter_names(const TaskEvaluation& scored) {
  if (scored.task.kind() != TaskKind::kGeneration) return {"none"};
  std::vector<std::string> names;
  for (const AnswerFilter& filter : scored.task.settings().filters) names.push_back(filter.name);
  return names;
}

struct SampleHashes {
  std::string document, prompt, target;
};

SampleHashes hashes_of(const TaskEvaluation& scored, const RecordResult& result,
                       const Json& document) {
  const TaskRecord& record = scored.task.records()[result.index];
  const bool is_text = scored.task.kind() == TaskKind::kText;
  return {sha256_hex(printed(document, 2)), sha256_hex(is_text ? record.text : result.prompt),
          sha256_hex(target_of(scored, record))};
}

Json sample_of(const EvaluationProtocol& protocol, const TaskEvaluation& scored,
               const RecordResult& result, std::size_t filter, const std::string& filter_name) {
  const TaskRecord& record = scored.task.records()[result.index];
  const Json document = Json::parse(record.source);
  const SampleHashes hashes = hashes_of(scored, result, document);
  const Json metrics = record_metrics(scored, result, filter_name);
  Json sample{{"doc_id", result.index}, {"doc", document}, {"target", target_of(scored, record)}};
  add_exchange(sample, protocol, scored, result, filter);
  sample["filter"] = filter_name;
  sample["metrics"] = Json::array();
  for (const auto& [name, value] : metrics.items()) sample["metrics"].push_back(name);
  sample["doc_hash"] = hashes.document;
  sample["prompt_hash"] = hashes.prompt;
  sample["target_hash"] = hashes.target;
  sample.update(metrics);
  return sample;
}

// One hash for all samples, in their order.
std::string task_hash(const TaskEvaluation& scored) {
  std::string all;
  for (std::size_t filter = 0; filter < filter_names(scored).size(); ++filter)
    for (const RecordResult& result : scored.evaluation.records) {
      const Json document = Json::parse(scored.task.records()[result.index].source);
      const SampleHashes hashes = hashes_of(scored, result, document);
      all += hashes.document + hashes.prompt + hashes.target;
    }
  return sha256_hex(all);
}

Json task_results(const TaskEvaluation& scored) {
  Json json{{"name", scored.task.name()},
            {"alias", scored.task.name()},
            {"sample_len", scored.evaluation.records.size()}};
  for (const MetricResult& metric : scored.evaluation.metrics) {
    if (!harness_knows(metric.name)) continue;
    json[metric.name + "," + metric.filter] = metric.value;
    const bool known = metric.standard_error && harness_has_error(metric.name);
    json[metric.name + "_stderr," + metric.filter] =
        known ? Json(*metric.standard_error) : Json("N/A");
  }
  return json;
}

Json task_config(const TaskEvaluation& scored, const EvaluationOptions& options) {
  const TaskSettings& settings = scored.task.settings();
  const char* kind = scored.task.kind() == TaskKind::kChoice ? "multiple_choice"
                     : scored.task.kind() == TaskKind::kText ? "loglikelihood_rolling"
                                                             : "generate_until";
  Json json{{"task", settings.name},
            {"description", settings.description},
            {"target_delimiter", settings.target_delimiter},
            {"fewshot_delimiter", settings.fewshot_delimiter},
            {"num_fewshot", settings.fewshot.size()},
            {"output_type", kind},
            {"repeats", 1},
            {"metadata", {{"version", settings.version}}}};
  if (scored.task.kind() == TaskKind::kGeneration)
    json["generation_kwargs"] = generation_settings(options, settings, settings.until);
  return json;
}

Json run_config(const EvaluationProtocol& protocol) {
  return {{"model", "suture"},
          {"model_args", "pretrained=" + protocol.model},
          {"model_num_parameters", protocol.parameters},
          {"model_dtype", protocol.dtype},
          {"model_digest", protocol.model_digest},
          {"batch_size", protocol.options.run.batch_size},
          {"batch_sizes", Json::array()},
          {"device", protocol.device},
          {"use_cache", nullptr},
          {"limit", protocol.options.limit ? Json(*protocol.options.limit) : Json()},
          {"bootstrap_iters", 0},
          {"gen_kwargs", Json::object()},
          {"random_seed", 0},
          {"numpy_seed", 0},
          {"torch_seed", 0},
          {"fewshot_seed", 0}};
}

}  // namespace

std::string sanitized_model_name(const std::string& name) {
  std::string result;
  bool replaced = false;
  for (const char c : name) {
    const bool bad = std::string("\"<>:/|\\?*[]").find(c) != std::string::npos;
    if (!bad) result += c;
    if (bad && !replaced) result += "__";
    replaced = bad;
  }
  // A folder of its own, whatever the model is called.
  return result.empty() || result == "." || result == ".." ? "__" : result;
}

std::string harness_samples(const EvaluationProtocol& protocol, const TaskEvaluation& scored) {
  std::string lines;
  const std::vector<std::string> filters = filter_names(scored);
  for (std::size_t filter = 0; filter < filters.size(); ++filter)
    for (const RecordResult& result : scored.evaluation.records)
      lines += printed(sample_of(protocol, scored, result, filter, filters[filter]), -1) + "\n";
  return lines;
}

std::string harness_results(const EvaluationProtocol& protocol,
                            const std::vector<TaskEvaluation>& tasks) {
  Json root;
  for (const char* key : {"results", "group_subtasks", "configs", "versions", "n-shot",
                          "higher_is_better", "n-samples"})
    root[key] = Json::object();
  for (const TaskEvaluation& scored : tasks) {
    const std::string& name = scored.task.name();
    root["results"][name] = task_results(scored);
    root["configs"][name] = task_config(scored, protocol.options);
    root["versions"][name] = scored.task.settings().version;
    root["n-shot"][name] = scored.task.settings().fewshot.size();
    for (const MetricResult& metric : scored.evaluation.metrics)
      if (harness_knows(metric.name))
        root["higher_is_better"][name][metric.name] = metric.higher_is_better;
    root["n-samples"][name] = {{"original", scored.task.records().size()},
                               {"effective", scored.evaluation.records.size()}};
    if (const std::string& group = scored.task.settings().group; !group.empty())
      root["group_subtasks"][group].push_back(name);
  }
  root["config"] = run_config(protocol);
  root["git_hash"] = nullptr;
  root["date"] = protocol.start_time;
  root["suture_version"] = kVersion;
  root["max_length"] = protocol.max_length;
  root["task_hashes"] = Json::object();
  for (const TaskEvaluation& scored : tasks)
    root["task_hashes"][scored.task.name()] = task_hash(scored);
  root["model_source"] = "suture";
  root["model_name"] = protocol.model;
  root["model_name_sanitized"] = sanitized_model_name(protocol.model);
  const std::string& instruction = protocol.options.system_instruction;
  root["system_instruction"] = instruction.empty() ? Json() : Json(instruction);
  root["system_instruction_sha"] = instruction.empty() ? Json() : Json(sha256_hex(instruction));
  root["fewshot_as_multiturn"] = false;
  const bool has_chat = protocol.options.chat.has_value();
  root["chat_template"] = has_chat ? Json(protocol.options.chat->jinja()) : Json();
  root["chat_template_sha"] = has_chat ? Json(sha256_hex(protocol.options.chat->jinja())) : Json();
  root["total_evaluation_time_seconds"] = float_text(protocol.seconds);
  return printed(root, 2);
}

}  // namespace suture::report
