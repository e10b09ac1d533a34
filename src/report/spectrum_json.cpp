#include "report/spectrum_json.h"

#include <cmath>
#include <optional>
#include <unordered_map>

#include <nlohmann/json.hpp>

namespace suture::report {
namespace {

using Json = nlohmann::ordered_json;

Json describe(const Interval& interval) { return {{"low", interval.low}, {"high", interval.high}}; }

Json describe(const TensorSpectrum& spectrum) {
  Json json;
  json["rank"] = spectrum.rank;
  json["exact"] = spectrum.exact;
  json["singular_values"] = spectrum.singular_values;
  json["error_bound"] = spectrum.error_bound;
  json["certain_error_bound"] = spectrum.certain_error_bound;
  json["failure_probability"] = spectrum.failure_probability;
  json["stable_rank"] = describe(spectrum.stable_rank);
  json["effective_rank"] = describe(spectrum.effective_rank);
  json["rank1_energy"] = spectrum.rank1_energy;
  json["rank1_energy_of_noise"] = spectrum.rank1_energy_of_noise;
  json["unchanged_bitwise"] = spectrum.unchanged_bitwise;
  const auto add = [&](const char* key, const std::optional<double>& value) {
    if (value) json[key] = *value;
  };
  add("unchanged_relative", spectrum.unchanged_relative);
  add("realisable", spectrum.realisable);
  add("changed_in_small_weights", spectrum.changed_in_small_weights);
  add("changed_in_principal_weights", spectrum.changed_in_principal_weights);
  add("spectral_drift", spectrum.spectral_drift);
  return json;
}

Json describe(const PairSpectrum& pair) {
  return {{"k", pair.k},
          {"left_cosines", pair.left_cosines},
          {"right_cosines", pair.right_cosines},
          {"left_similarity", pair.left_similarity},
          {"right_similarity", pair.right_similarity},
          {"left_chance", pair.left_chance},
          {"right_chance", pair.right_chance},
          {"sign_conflict", pair.sign_conflict},
          {"sign_conflict_by_chance", pair.sign_conflict_by_chance},
          {"changed_overlap", pair.changed_overlap},
          {"changed_overlap_by_chance", pair.changed_overlap_by_chance}};
}

using RowsByName = std::unordered_map<std::string, const SpectrumRow*>;

// Calls `add` with each tensor of `part` that has a row.
template <typename Add>
void for_each_tensor(Json& part, const RowsByName& rows, Add add) {
  for (Json& tensor : part.at("tensors")) {
    const auto row = rows.find(tensor.at("name").get_ref<const std::string&>());
    if (row != rows.end()) add(tensor, *row->second);
  }
}

}  // namespace

void add_spectra(nlohmann::ordered_json& analysis, const SpectrumReport& report) {
  RowsByName rows;
  for (const SpectrumRow& row : report.tensors) rows.emplace(row.name, &row);
  for (std::size_t v = 0; v < report.vectors.size(); ++v) {
    for_each_tensor(analysis.at("vectors").at(v), rows, [v](Json& tensor, const SpectrumRow& row) {
      if (row.vectors[v]) tensor["spectrum"] = describe(*row.vectors[v]);
      if (!row.reasons[v].empty()) tensor["spectrum_reason"] = row.reasons[v];
    });
  }
  for (std::size_t p = 0; p < report.pairs.size(); ++p) {
    for_each_tensor(analysis.at("pairs").at(p), rows, [p](Json& tensor, const SpectrumRow& row) {
      if (row.pairs[p]) tensor["spectrum"] = describe(*row.pairs[p]);
    });
  }
  Json& about = analysis["spectrum"];
  about = {{"rank", report.rank}, {"seed", report.seed}, {"left_out", Json::array()}};
  for (const SpectrumReport::LeftOut& left_out : report.left_out)
    about["left_out"].push_back({{"name", left_out.name}, {"reason", left_out.reason}});
}

}  // namespace suture::report
