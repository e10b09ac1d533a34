#include "surgery/provenance.h"

#include <nlohmann/json.hpp>

#include "suture/error.h"
#include "suture/version.h"

#include "format/file.h"
#include "surgery/realised_change.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

// Written in the order a reader wants to see.
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxConfigBytes = 16 << 20;

const char* torch_name_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::kBF16:
      return "bfloat16";
    case Dtype::kF16:
      return "float16";
    case Dtype::kF64:
      return "float64";
    default:
      return "float32";
  }
}

Json describe_source(const SourcePtr& source) {
  Json json{{"name", source->name()}};
  if (const AdapterFacts* adapter = source->adapter()) {
    json["kind"] = "LoRA adapter";
    json["digest"] = adapter->digest;
    if (!adapter->trained_on.empty()) json["trained_on"] = adapter->trained_on;
    if (adapter->base) json["base"] = adapter->base->name();
    return json;
  }
  if (source->checkpoint() == nullptr || !is_vector(*source->checkpoint())) return json;
  const VectorMetadata metadata = require_vector(*source->checkpoint());
  json["formula"] = metadata.formula;
  if (!metadata.names.empty()) json["names"] = metadata.names;
  json["donors"] = Json::array();
  for (const Donor& donor : metadata.donors) {
    json["donors"].push_back(
        {{"role", donor.role}, {"name", donor.name}, {"digest", donor.digest}});
  }
  return json;
}

Json warnings_of(const Compatibility& compatibility) {
  Json warnings = Json::array();
  for (const Finding& finding : compatibility.findings) {
    if (finding.severity != Severity::kNote)
      warnings.push_back({{"topic", finding.topic}, {"found", finding.found}});
  }
  return warnings;
}

Json names_of(const Compatibility& compatibility) {
  Json names = Json::array();
  for (const NamesRead& read : compatibility.names)
    names.push_back({{"model", read.model}, {"under", read.under}, {"rules", read.rules}});
  return names;
}

}  // namespace

std::string to_json_text(const Provenance& provenance) {
  Json root;
  root["format_version"] = 1;
  root["made_by"] = std::string("suture ") + kVersion;
  root["formula"] = provenance.formula;
  root["target"] = provenance.target;
  root["sources"] = Json::array();
  for (const SourcePtr& source : provenance.sources)
    root["sources"].push_back(describe_source(source));
  if (provenance.dtype) root["dtype"] = name_of(*provenance.dtype);
  if (provenance.stochastic_seed)
    root["rounding"] = {{"stochastic", true}, {"seed", *provenance.stochastic_seed}};
  if (provenance.realised != nullptr && provenance.realised->total.elements > 0)
    root["realised"] = describe(*provenance.realised);
  if (provenance.mapped_rows > 0) root["mapped_rows"] = provenance.mapped_rows;
  if (!provenance.compatibility->names.empty()) root["names"] = names_of(*provenance.compatibility);
  root["computed_tensors"] = provenance.computed_tensors;
  root["copied_tensors"] = provenance.copied_tensors;
  root["left_out"] = provenance.left_out;
  root["warnings"] = warnings_of(*provenance.compatibility);
  // File names may hold any bytes; what is not UTF-8 is replaced.
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string config_with_dtype(const std::filesystem::path& folder, Dtype dtype) {
  const std::filesystem::path path = folder / "config.json";
  Json root = Json::parse(format::read_small_file(path, kMaxConfigBytes));
  const char* key = root.contains("dtype") ? "dtype" : "torch_dtype";
  root[key] = torch_name_of(dtype);
  return root.dump(2) + "\n";
}

}  // namespace suture
