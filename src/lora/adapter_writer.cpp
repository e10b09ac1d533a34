#include "lora/adapter_writer.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "suture/version.h"

namespace suture {
namespace {

// Written in the order a reader wants to see.
using Json = nlohmann::ordered_json;

const std::string kPrefix = "base_model.model.";  // of a PeftModel around the base

std::string last_part(const std::string& module) {
  return module.substr(module.rfind('.') + 1);  // npos + 1 is 0
}

// File names may hold any bytes; what is not UTF-8 is replaced.
std::string text_of(const Json& root) {
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::int64_t largest_rank(const AdapterContent& content) {
  std::int64_t rank = 1;
  for (const auto& [name, module] : content.modules) rank = std::max(rank, module.rank);
  return rank;
}

// PEFT takes the first pattern that is the dotted end of a module's name, so longer ones come
// first, and a module of the usual rank is named where another's pattern would catch it.
Json rank_patterns(const AdapterContent& content, std::int64_t usual) {
  const auto is_end_of = [](const std::string& end, const std::string& name) {
    return name.size() > end.size() && name.ends_with("." + end);
  };
  std::vector<std::string> names;
  for (const auto& [name, module] : content.modules) {
    const bool is_caught =
        std::any_of(content.modules.begin(), content.modules.end(), [&](const auto& other) {
          return other.second.rank != usual && is_end_of(other.first, name);
        });
    if (module.rank != usual || is_caught) names.push_back(name);
  }
  std::stable_sort(names.begin(), names.end(),
                   [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  Json ranks = Json::object();
  for (const std::string& name : names) ranks[name] = content.modules.at(name).rank;
  return ranks;
}

Json describe(const LoraError& error) {
  return {{"norm", error.norm},
          {"relative_error", error.relative()},
          {"merged_relative_error", error.merged_relative()}};
}

}  // namespace

std::string module_of(const std::string& tensor) {
  const auto dot = tensor.rfind('.');
  return dot == std::string::npos ? std::string() : tensor.substr(0, dot);
}

std::string parameter_of(const std::string& tensor) { return last_part(tensor); }

std::string name_of_down(const std::string& module, const AdaptedModule& adapted) {
  return kPrefix + module + (adapted.embedding ? ".lora_embedding_A" : ".lora_A.weight");
}

std::string name_of_up(const std::string& module, const AdaptedModule& adapted) {
  return kPrefix + module + (adapted.embedding ? ".lora_embedding_B" : ".lora_B.weight");
}

// PEFT puts an adapted module's own parameters one level below its name.
std::string name_of_whole(const std::string& tensor, const AdapterContent& content) {
  const std::string module = module_of(tensor);
  return content.modules.count(module) > 0
             ? kPrefix + module + ".base_layer." + parameter_of(tensor)
             : kPrefix + tensor;
}

std::vector<std::string> target_names(const AdapterContent& content) {
  std::map<std::string, std::size_t> wanted, present;
  for (const auto& [name, module] : content.modules) ++wanted[last_part(name)];
  for (const std::string& name : content.model_modules) ++present[last_part(name)];
  std::set<std::string> names;
  for (const auto& [name, module] : content.modules) {
    const std::string part = last_part(name);
    names.insert(wanted[part] == present[part] ? part : name);
  }
  return {names.begin(), names.end()};
}

std::string adapter_config_text(const AdapterContent& content) {
  const std::int64_t rank = largest_rank(content);
  const Json ranks = rank_patterns(content, rank);
  Json root{{"peft_type", "LORA"},
            {"task_type", "CAUSAL_LM"},
            {"base_model_name_or_path", content.base_model},
            {"inference_mode", true},
            {"r", rank},
            {"lora_alpha", rank},
            {"lora_dropout", 0.0},
            {"use_rslora", false},
            {"use_dora", false},
            {"fan_in_fan_out", content.fan_in_fan_out},
            {"bias", content.biases ? "all" : "none"},
            {"target_modules", target_names(content)},
            {"rank_pattern", ranks},
            {"alpha_pattern", ranks}};
  root["modules_to_save"] =
      content.modules_to_save.empty() ? Json() : Json(content.modules_to_save);
  return text_of(root);
}

std::string adapter_provenance_text(const std::string& formula, const std::string& base,
                                    const LoraOptions& options, const LoraReport& report) {
  Json root{{"format_version", 1},
            {"made_by", std::string("suture ") + kVersion},
            {"formula", formula},
            {"base", base}};
  if (options.rank) root["wanted_rank"] = *options.rank;
  if (options.energy) root["wanted_energy"] = *options.energy;
  root["rank"] = report.rank;
  root["dtype"] = name_of(options.dtype);
  root["seed"] = options.seed;
  root["total"] = describe(report.total);
  root["layers"] = Json::array();
  for (const LoraError& layer : report.layers) root["layers"].push_back(describe(layer));
  root["outside_layers"] = describe(report.outside_layers);
  root["left_out"] = report.left_out;
  root["warnings"] = Json::array();
  for (const Finding& finding : report.compatibility.findings) {
    if (finding.severity != Severity::kNote)
      root["warnings"].push_back({{"topic", finding.topic}, {"found", finding.found}});
  }
  return text_of(root);
}

}  // namespace suture
