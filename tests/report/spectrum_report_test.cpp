#include <string>

#include <gtest/gtest.h>

#include "format/json.h"
#include "report/json_report.h"
#include "report/spectrum_text.h"
#include "support/sample_analysis.h"

namespace suture::report {
namespace {

using format::Json;

// Of the sample's vectors: one tensor with everything, one that one vector was refused on.
SpectrumReport sample_spectra() {
  TensorSpectrum full;
  full.rank = 2;
  full.singular_values = {4, 3};
  full.error_bound = 0.5;
  full.certain_error_bound = 0.75;
  full.failure_probability = 2e-9;
  full.stable_rank = {1.25, 1.5};
  full.effective_rank = {2, 3};
  full.rank1_energy = 0.625;
  full.rank1_energy_of_noise = 0.125;
  full.unchanged_bitwise = 0.25;
  full.unchanged_relative = 0.375;
  full.realisable = 0.5;
  full.changed_in_small_weights = 0.3125;
  full.changed_in_principal_weights = 0.28125;
  full.spectral_drift = 0.001;
  TensorSpectrum bare = full;
  bare.unchanged_relative = bare.realisable = bare.spectral_drift = std::nullopt;
  bare.changed_in_small_weights = bare.changed_in_principal_weights = std::nullopt;
  PairSpectrum pair;
  pair.k = 2;
  pair.left_cosines = {1, 0.5};
  pair.right_cosines = {0.75, 0};
  pair.left_similarity = 0.625;
  pair.right_similarity = 0.28125;
  pair.left_chance = 0.0625;
  pair.right_chance = 0.03125;
  pair.sign_conflict = 0.4375;
  pair.sign_conflict_by_chance = 0.5;
  pair.changed_overlap = 0.875;
  pair.changed_overlap_by_chance = 0.8125;
  SpectrumReport report;
  report.rank = 2;
  report.seed = 7;
  report.vectors = {"first", "second"};
  report.pairs = {{0, 1}};
  report.tensors = {
      {test::kHostileName, {8, 4}, {full, bare}, {"", ""}, {pair}},
      {"model.norm.weight", {4, 4}, {bare, std::nullopt}, {"", "no"}, {std::nullopt}}};
  report.left_out = {{"bias", "1 dimension"}};
  return report;
}

TEST(SpectrumJson, StandsBesideWhatAnalysisTellsOfATensor) {
  const SpectrumReport spectra = sample_spectra();
  const Json json = Json::parse(to_json(test::sample_analysis(), &spectra));
  const Json& full = json["vectors"][0]["tensors"][0]["spectrum"];
  EXPECT_EQ(json["vectors"][0]["tensors"][0]["norm"], 2);
  EXPECT_EQ(full["rank"], 2);
  EXPECT_EQ(full["exact"], false);
  EXPECT_EQ(full["singular_values"], (Json{4.0, 3.0}));
  EXPECT_EQ(full["stable_rank"], (Json{{"low", 1.25}, {"high", 1.5}}));
  EXPECT_EQ(full["effective_rank"], (Json{{"low", 2.0}, {"high", 3.0}}));
  const std::pair<const char*, double> numbers[] = {{"error_bound", 0.5},
                                                    {"certain_error_bound", 0.75},
                                                    {"failure_probability", 2e-9},
                                                    {"rank1_energy", 0.625},
                                                    {"rank1_energy_of_noise", 0.125},
                                                    {"unchanged_bitwise", 0.25},
                                                    {"unchanged_relative", 0.375},
                                                    {"realisable", 0.5},
                                                    {"changed_in_small_weights", 0.3125},
                                                    {"changed_in_principal_weights", 0.28125},
                                                    {"spectral_drift", 0.001}};
  for (const auto& [key, value] : numbers) EXPECT_EQ(full[key], value) << key;
  EXPECT_EQ(full.size(), 16u);
  EXPECT_EQ(json["spectrum"]["rank"], 2);
  EXPECT_EQ(json["spectrum"]["seed"], 7);
  EXPECT_EQ(json["spectrum"]["left_out"],
            (Json::array({{{"name", "bias"}, {"reason", "1 dimension"}}})));
}

TEST(SpectrumJson, LeavesOutWhatIsNotKnown) {
  const SpectrumReport spectra = sample_spectra();
  const Json json = Json::parse(to_json(test::sample_analysis(), &spectra));
  const Json& second = json["vectors"][1]["tensors"];
  for (const char* key : {"unchanged_relative", "realisable", "changed_in_small_weights",
                          "changed_in_principal_weights", "spectral_drift"})
    EXPECT_FALSE(second[0]["spectrum"].contains(key)) << key;
  EXPECT_FALSE(second[1].contains("spectrum"));
  EXPECT_EQ(second[1]["spectrum_reason"], "no");
  EXPECT_FALSE(second[0].contains("spectrum_reason"));
  EXPECT_FALSE(json["pairs"][0]["tensors"][1].contains("spectrum"));
  EXPECT_FALSE(Json::parse(to_json(test::sample_analysis())).contains("spectrum"));
}

TEST(SpectrumJson, OfAPairTellsAnglesSignsAndMasks) {
  const SpectrumReport spectra = sample_spectra();
  const Json json = Json::parse(to_json(test::sample_analysis(), &spectra));
  const Json& pair = json["pairs"][0]["tensors"][0]["spectrum"];
  EXPECT_EQ(json["pairs"][0]["tensors"][0]["cosine"], -0.75);
  EXPECT_EQ(pair["k"], 2);
  EXPECT_EQ(pair["left_cosines"], (Json{1.0, 0.5}));
  EXPECT_EQ(pair["right_cosines"], (Json{0.75, 0.0}));
  const std::pair<const char*, double> numbers[] = {
      {"left_similarity", 0.625}, {"right_similarity", 0.28125},
      {"left_chance", 0.0625},    {"right_chance", 0.03125},
      {"sign_conflict", 0.4375},  {"sign_conflict_by_chance", 0.5},
      {"changed_overlap", 0.875}, {"changed_overlap_by_chance", 0.8125}};
  for (const auto& [key, value] : numbers) EXPECT_EQ(pair[key], value) << key;
}

TEST(SpectrumText, ShowsWhatStandsOutAndMakesNamesPrintable) {
  const std::string text = to_text(sample_spectra(), {});
  EXPECT_NE(text.find("62.5 %"), std::string::npos) << text;
  EXPECT_NE(text.find("1.25 to 1.5"), std::string::npos) << text;
  EXPECT_NE(text.find("first against second"), std::string::npos);
  EXPECT_NE(text.find("warning: no spectrum of 1 tensor "), std::string::npos);
  EXPECT_NE(text.find("1 tensor is no matrix"), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find("\xE2\x80\xAE"), std::string::npos);
  EXPECT_EQ(text.back(), '\n');
}

}  // namespace
}  // namespace suture::report
