#include "report/json_report.h"

#include <optional>

#include <nlohmann/json.hpp>

#include "report/compatibility_json.h"
#include "surgery/realised_change.h"

namespace suture::report {
namespace {

// Written in the order a reader wants to see.
using Json = nlohmann::ordered_json;

// Tensor names may hold any bytes; what is not UTF-8 is replaced.
std::string text_of(const Json& root) {
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

const char* name_of(Making making) {
  switch (making) {
    case Making::kCopied:
      return "copied";
    case Making::kConverted:
      return "converted";
    case Making::kComputed:
      return "computed";
    default:
      return "left_out";
  }
}

// Null where only the run itself can tell.
Json known(std::uint64_t bytes, bool is_known) { return is_known ? Json(bytes) : Json(); }

Json describe(const PlannedOperand& operand) {
  Json json{{"model", operand.model}};
  if (!operand.file.empty()) {
    json["file"] = operand.file;
    json["first_byte"] = operand.first_byte;
  }
  json["bytes"] = operand.bytes;
  json["dtype"] = name_of(operand.dtype);
  json["shape"] = operand.shape;
  if (!operand.stored_as.empty()) json["stored_as"] = operand.stored_as;
  if (operand.strided) json["strided"] = true;
  for (const PlannedPart& part : operand.parts) {
    json["parts"].push_back({{"name", part.name},
                             {"file", part.file},
                             {"first_byte", part.first_byte},
                             {"bytes", part.bytes}});
  }
  return json;
}

Json describe(const PlannedTerm& term) {
  Json json{{"scale", term.scale}, {"minuend", describe(term.minuend)}};
  if (term.subtrahend) json["subtrahend"] = describe(*term.subtrahend);
  return json;
}

Json describe(const PlannedTensor& tensor) {
  Json json{{"name", tensor.name},
            {"making", name_of(tensor.making)},
            {"dtype", name_of(tensor.dtype)},
            {"shape", tensor.shape}};
  if (tensor.making == Making::kLeftOut) {
    json["reason"] = tensor.reason;
    return json;
  }
  json["bytes"] = known(tensor.bytes, !tensor.may_be_sparse);
  if (tensor.may_be_sparse) json["bytes_if_dense"] = tensor.bytes;
  json["dtype_is_forecast"] = tensor.may_become_double;
  json["may_become_double"] = tensor.may_become_double;
  json["output_file"] = tensor.output_file;
  if (tensor.origin) json["origin"] = describe(*tensor.origin);
  json["terms"] = Json::array();
  for (const PlannedTerm& term : tensor.terms) json["terms"].push_back(describe(term));
  if (tensor.rows > 0) {
    json["rows"] = tensor.rows;
    json["mapped_rows"] = tensor.mapped_rows;
  }
  return json;
}

Json describe(const Plan& plan) {
  Json json;
  json["inputs"] = Json::array();
  for (const Plan::Input& input : plan.inputs)
    json["inputs"].push_back({{"model", input.model}, {"bytes", input.bytes}});
  json["files"] = Json::array();
  for (const Plan::File& file : plan.files)
    json["files"].push_back({{"name", file.name}, {"bytes", known(file.bytes, file.is_known)}});
  json["bytes_to_read"] = plan.bytes_to_read;
  json["bytes_to_write"] = known(plan.bytes_to_write, plan.knows_bytes_to_write());
  json["sizes_are_forecast"] = plan.sizes_are_forecast;
  json["bytes_to_write_at_most"] = plan.bytes_to_write_at_most;
  json["disk_bytes_free"] = plan.disk_bytes_free;
  json["threads"] = plan.threads;
  json["buffer_bytes"] = plan.buffer_bytes;
  json["memory_budget_bytes"] = plan.memory_budget_bytes;
  for (const Making making :
       {Making::kComputed, Making::kCopied, Making::kConverted, Making::kLeftOut})
    json["tensor_counts"][name_of(making)] = plan.count(making);
  return json;
}

// A plan and the tensors of it that were asked about; nothing after a real run.
void add_plan(Json& root, const std::optional<Plan>& plan,
              const std::vector<PlannedTensor>* explained) {
  if (!plan) return;
  root["plan"] = describe(*plan);
  root["plan"]["tensors"] = Json::array();
  for (const PlannedTensor& tensor : explained != nullptr ? *explained : plan->tensors)
    root["plan"]["tensors"].push_back(describe(tensor));
}

Json with_schema(const char* schema) { return Json{{"schema", schema}}; }

// What only a real run can tell: null after a dry one.
void add_measured(Json& root, const ExtractReport& report) {
  const auto add = [&](const char* key, auto value) {
    root[key] = report.plan ? Json() : Json(value);
  };
  add("sparse_tensors", report.sparse_tensors);
  add("widened_tensors", report.widened_tensors);
  add("inexact_elements", report.inexact_elements);
  add("changed_elements", report.changed_elements);
  add("norm", report.norm);
  add("base_norm", report.base_norm);
  add("bytes_written", report.bytes_written);
}

}  // namespace

std::string to_json(const Compatibility& compatibility) {
  Json root = with_schema("suture.check/1");
  root.update(describe(compatibility));
  return text_of(root);
}

std::string to_json(const ExtractReport& report, const std::vector<PlannedTensor>* explained) {
  Json root = with_schema("suture.extract/1");
  root["tensors"] = report.tensors;
  root["dtypes"] = Json::object();
  for (const auto& [dtype, count] : report.dtypes) root["dtypes"][suture::name_of(dtype)] = count;
  if (report.plan) root["dtypes_are_forecast"] = report.plan->sizes_are_forecast;
  root["elements"] = report.elements;
  root["bytes_read"] = report.bytes_read;
  add_measured(root, report);
  root["left_out"] = report.left_out;
  root["compatibility"] = describe(report.compatibility);
  add_plan(root, report.plan, explained);
  return text_of(root);
}

std::string to_json(const InjectReport& report, const std::vector<PlannedTensor>* explained) {
  Json root = with_schema("suture.inject/1");
  root["computed_tensors"] = report.computed_tensors;
  root["copied_tensors"] = report.copied_tensors;
  if (report.realised.total.elements > 0) root["realised"] = describe(report.realised);
  root["mapped_rows"] = report.mapped_rows;
  root["bytes_read"] = report.bytes_read;
  root["bytes_written"] = report.bytes_written;
  root["left_out"] = report.left_out;
  root["compatibility"] = describe(report.compatibility);
  add_plan(root, report.plan, explained);
  return text_of(root);
}

}  // namespace suture::report
