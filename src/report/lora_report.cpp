#include "report/lora_report.h"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "report/compatibility_json.h"
#include "report/text.h"

namespace suture::report {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<std::string>>;

constexpr std::size_t kShownLeftOut = 10;

const char* name_of(LoraForm form) {
  switch (form) {
    case LoraForm::kLowRank:
      return "low_rank";
    case LoraForm::kWhole:
      return "whole";
    case LoraForm::kUnchanged:
      return "unchanged";
    default:
      return "left_out";
  }
}

std::size_t count(const LoraReport& report, LoraForm form) {
  return static_cast<std::size_t>(
      std::count_if(report.tensors.begin(), report.tensors.end(),
                    [form](const LoraTensor& tensor) { return tensor.form == form; }));
}

std::string counted(std::size_t number, const char* one, const char* many) {
  return std::to_string(number) + " " + (number == 1 ? one : many);
}

std::string rank_text(const LoraReport& report) {
  std::int64_t least = report.rank;
  for (const LoraTensor& tensor : report.tensors)
    if (tensor.form == LoraForm::kLowRank) least = std::min(least, tensor.rank);
  if (report.dry_run) return "at most rank " + std::to_string(report.rank);
  return least == report.rank
             ? "rank " + std::to_string(report.rank)
             : "rank " + std::to_string(least) + " to " + std::to_string(report.rank);
}

std::vector<std::string> row_of(const std::string& name, const LoraError& error) {
  return {name, human_number(error.norm), human_percent(error.relative()),
          human_percent(error.kept_energy()), human_percent(error.merged_relative())};
}

std::string error_table(const LoraReport& report) {
  Rows table{{"layer", "norm", "error", "kept energy", "error merged"}};
  for (std::size_t layer = 0; layer < report.layers.size(); ++layer)
    table.push_back(row_of(std::to_string(layer), report.layers[layer]));
  table.push_back(row_of("outside", report.outside_layers));
  table.push_back(row_of("all", report.total));
  return align(table);
}

std::string list_left_out(const LoraReport& report) {
  std::string text;
  for (std::size_t i = 0; i < std::min(report.left_out.size(), kShownLeftOut); ++i)
    text += "left out: " + report.left_out[i] + "\n";
  if (report.left_out.size() > kShownLeftOut)
    text += "left out: " + std::to_string(report.left_out.size() - kShownLeftOut) +
            " more (--json lists all)\n";
  return text;
}

Json describe(const LoraError& error) {
  return {{"norm", error.norm},
          {"residual", error.residual},
          {"relative_error", error.relative()},
          {"kept_energy", error.kept_energy()},
          {"merged_residual", error.merged_residual},
          {"merged_relative_error", error.merged_relative()}};
}

Json describe(const LoraTensor& tensor, bool measured) {
  Json json{{"name", tensor.name}, {"shape", tensor.shape}, {"form", name_of(tensor.form)}};
  if (tensor.form == LoraForm::kLowRank) json["rank"] = tensor.rank;
  if (measured) json.update(describe(tensor.error));
  if (!tensor.reason.empty()) json["reason"] = tensor.reason;
  return json;
}

}  // namespace

std::string to_text(const LoraReport& report) {
  const std::size_t whole = count(report, LoraForm::kWhole);
  std::string text = "an adapter of " +
                     counted(count(report, LoraForm::kLowRank), "matrix of ", "matrices of ") +
                     rank_text(report);
  if (whole > 0) text += " and " + counted(whole, "whole tensor", "whole tensors");
  text +=
      std::string(", ") + (report.dry_run ? "at most " : "") + human_bytes(report.bytes_written);
  if (report.dry_run) return text + "\n" + list_left_out(report);
  text += "; it misses " + human_percent(report.total.relative()) + " of the change (" +
          human_percent(report.total.kept_energy()) + " of its energy is kept)\n\n";
  return text + error_table(report) + list_left_out(report);
}

std::string to_json(const LoraReport& report) {
  Json root{{"schema", "suture.lora/1"}, {"dry_run", report.dry_run}, {"rank", report.rank}};
  root["bytes_written"] = report.bytes_written;
  if (!report.dry_run) {
    root["total"] = describe(report.total);
    root["layers"] = Json::array();
    for (const LoraError& layer : report.layers) root["layers"].push_back(describe(layer));
    root["outside_layers"] = describe(report.outside_layers);
  }
  root["tensors"] = Json::array();
  for (const LoraTensor& tensor : report.tensors)
    root["tensors"].push_back(describe(tensor, !report.dry_run));
  root["left_out"] = report.left_out;
  root["compatibility"] = describe(report.compatibility);
  // Tensor names may hold any bytes; what is not UTF-8 is replaced.
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace suture::report
