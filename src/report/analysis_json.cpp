#include <map>

#include <nlohmann/json.hpp>

#include "suture/site.h"

#include "report/json_report.h"
#include "report/spectrum_json.h"
#include "surgery/realised_change.h"

namespace suture::report {
namespace {

using Json = nlohmann::ordered_json;

Json describe(const VectorStatistics& statistics) {
  Json json;
  json["elements"] = statistics.elements;
  json["norm"] = statistics.norm;
  json["rms"] = statistics.rms;
  json["max"] = statistics.max;
  json["changed"] = statistics.changed_share();
  json["changed_elements"] = statistics.changed;
  if (statistics.non_finite > 0) json["non_finite"] = statistics.non_finite;
  if (statistics.base_norm) json["base_norm"] = *statistics.base_norm;
  if (statistics.relative_norm) json["relative_norm"] = *statistics.relative_norm;
  json["histogram"] = {{"first_exponent", statistics.histogram.first_exponent},
                       {"counts", statistics.histogram.counts}};
  return json;
}

Json describe(const PairStatistics& pair) {
  return {{"cosine", pair.cosine},
          {"both_changed", pair.both_changed},
          {"sign_agreement", pair.sign_agreement},
          {"sign_agreement_by_chance", pair.sign_agreement_by_chance}};
}

// A layer is a number, but for what stands outside the layers.
Json row_label(const char* key, const std::string& name) {
  const bool is_number = name.find_first_not_of("0123456789") == std::string::npos;
  if (std::string(key) == "layer" && is_number) return {{key, std::stoi(name)}};
  return {{key, name}};
}

// The rows of every level, with `describe_part` choosing what of a row is shown.
template <typename DescribePart>
void add_levels(Json& json, const Analysis& analysis, DescribePart describe_part) {
  const auto add = [&](const char* level, const char* key, const std::vector<AnalysisRow>& rows) {
    json[level] = Json::array();
    for (const AnalysisRow& row : rows) {
      Json entry = row_label(key, row.name);
      entry.update(describe_part(row));
      json[level].push_back(std::move(entry));
    }
  };
  json["total"] = describe_part(analysis.total);
  add("layers", "layer", analysis.layers);
  add("blocks", "block", analysis.blocks);
  add("modules", "module", analysis.modules);
  add("tensors", "name", analysis.tensors);
}

// Where a tensor stands, so that no reader need parse its name.
void add_sites(Json& tensors, const std::vector<AnalysisRow>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Site site = site_of(rows[i].name);
    tensors[i]["layer"] = site.layer ? Json(*site.layer) : Json();
    tensors[i]["block"] = name_of(site.block);
    tensors[i]["module"] = site.module;
    tensors[i]["shape"] = rows[i].shape;
  }
}

void add_head_norms(Json& tensor, const HeadMeasures& heads, std::size_t vector) {
  tensor["heads"] = {{"along", heads.along_columns ? "columns" : "rows"},
                     {"head_size", heads.head_size},
                     {"norms", heads.norms[vector]}};
}

void add_realised(Json& levels, const RealisedChanges& changes,
                  const std::map<std::string, std::size_t>& positions) {
  levels["total"]["realised"] = describe(changes.total);
  for (Json& layer : levels["layers"]) {
    const bool is_outside = !layer["layer"].is_number();
    const std::size_t index = is_outside ? 0 : layer["layer"].get<std::size_t>();
    if (!is_outside && index >= changes.layers.size()) continue;
    const RealisedChange& change = is_outside ? changes.outside_layers : changes.layers[index];
    if (change.elements > 0) layer["realised"] = describe(change);
  }
  for (const auto& [name, change] : changes.tensors) {
    const auto at = positions.find(name);
    if (at != positions.end()) {
      levels["tensors"][at->second]["realised"] = describe(change);
    } else {
      levels["target_tensors"].push_back({{"name", name}, {"realised", describe(change)}});
    }
  }
}

}  // namespace

std::string to_json(const Analysis& analysis, const AnalysisExtras& extras) {
  Json root{{"schema", "suture.analyze/1"}};
  if (!extras.target.empty()) root["target"] = {{"model", extras.target}};
  std::map<std::string, std::size_t> positions;
  for (std::size_t i = 0; i < analysis.tensors.size(); ++i) positions[analysis.tensors[i].name] = i;
  root["vectors"] = Json::array();
  for (std::size_t v = 0; v < analysis.vectors.size(); ++v) {
    Json json{{"name", analysis.vectors[v]}};
    add_levels(json, analysis, [v](const AnalysisRow& row) { return describe(row.vectors[v]); });
    add_sites(json["tensors"], analysis.tensors);
    for (const HeadMeasures& heads : extras.heads)
      add_head_norms(json["tensors"][positions.at(heads.tensor)], heads, v);
    if (v < extras.realised.size()) add_realised(json, extras.realised[v], positions);
    root["vectors"].push_back(std::move(json));
  }
  root["pairs"] = Json::array();
  for (std::size_t p = 0; p < analysis.pairs.size(); ++p) {
    Json json{{"first", analysis.vectors[analysis.pairs[p].first]},
              {"second", analysis.vectors[analysis.pairs[p].second]}};
    add_levels(json, analysis, [p](const AnalysisRow& row) { return describe(row.pairs[p]); });
    for (const HeadMeasures& heads : extras.heads)
      json["tensors"][positions.at(heads.tensor)]["heads"] = {{"cosines", heads.cosines[p]}};
    root["pairs"].push_back(std::move(json));
  }
  if (extras.spectra != nullptr) add_spectra(root, *extras.spectra);
  // Tensor names may hold any bytes; what is not UTF-8 is replaced.
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace suture::report
