#include "report/json_report.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "format/json.h"
#include "support/sample_analysis.h"

namespace suture::report {
namespace {

using format::Json;

Compatibility compatibility() {
  Compatibility found;
  found.findings = {{Severity::kBlocker, "rope", "found \x1b[2J", "meaning", "remedy"},
                    {Severity::kWarning, "config", "b", "", ""},
                    {Severity::kNote, "dtypes", "c", "", ""}};
  found.kinship = {{"b", "a", 0.25, 0.5}};
  return found;
}

TEST(JsonReport, OfACheckTellsVerdictFindingsAndKinship) {
  const std::string text = to_json(compatibility());
  const Json json = Json::parse(text);
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(json["schema"], "suture.check/1");
  EXPECT_EQ(json["fit"], false);
  EXPECT_EQ(json["findings"].size(), 3u);
  EXPECT_EQ(json["findings"][0]["severity"], "blocker");
  EXPECT_EQ(json["findings"][0]["topic"], "rope");
  EXPECT_EQ(json["findings"][0]["found"], "found \x1b[2J");
  EXPECT_EQ(json["findings"][1]["severity"], "warning");
  EXPECT_EQ(json["findings"][2]["severity"], "note");
  EXPECT_EQ(json["kinship"][0]["relative_distance"], 0.25);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(JsonReport, OfNoFindingsIsFitWithEmptyLists) {
  const Json json = Json::parse(to_json(Compatibility()));
  EXPECT_EQ(json["fit"], true);
  EXPECT_TRUE(json["findings"].is_array() && json["findings"].empty());
  EXPECT_TRUE(json["kinship"].is_array() && json["kinship"].empty());
}

TEST(JsonReport, OfAnExtractionTellsEveryNumber) {
  ExtractReport report;
  report.tensors = 1;
  report.dtypes = {{Dtype::kBF16, 3}};
  report.sparse_tensors = 10;
  report.widened_tensors = 2;
  report.inexact_elements = 3;
  report.changed_elements = 4;
  report.elements = 5;
  report.norm = 6.5;
  report.base_norm = 7.5;
  report.bytes_read = 8;
  report.bytes_written = 9;
  report.left_out = {"x"};
  report.compatibility = compatibility();
  const Json json = Json::parse(to_json(report));
  EXPECT_EQ(json["schema"], "suture.extract/1");
  const std::pair<const char*, double> numbers[] = {
      {"tensors", 1},          {"widened_tensors", 2}, {"inexact_elements", 3},
      {"changed_elements", 4}, {"elements", 5},        {"norm", 6.5},
      {"base_norm", 7.5},      {"bytes_read", 8},      {"bytes_written", 9},
      {"sparse_tensors", 10}};
  for (const auto& [key, value] : numbers) EXPECT_EQ(json[key], value) << key;
  EXPECT_EQ(json["dtypes"], (Json{{"BF16", 3}}));
  EXPECT_EQ(json["left_out"], Json::array({"x"}));
  EXPECT_EQ(json["compatibility"]["findings"].size(), 3u);
}

TEST(JsonReport, OfAnInjectionTellsEveryNumber) {
  InjectReport report;
  report.computed_tensors = 1;
  report.copied_tensors = 2;
  report.mapped_rows = 3;
  report.bytes_read = 4;
  report.bytes_written = 5;
  report.left_out = {"y"};
  const Json json = Json::parse(to_json(report));
  EXPECT_EQ(json["schema"], "suture.inject/1");
  const std::pair<const char*, int> numbers[] = {{"computed_tensors", 1},
                                                 {"copied_tensors", 2},
                                                 {"mapped_rows", 3},
                                                 {"bytes_read", 4},
                                                 {"bytes_written", 5}};
  for (const auto& [key, value] : numbers) EXPECT_EQ(json[key], value) << key;
  EXPECT_EQ(json["left_out"], Json::array({"y"}));
}

TEST(JsonReport, OfAnAnalysisTellsEveryLevelOfEveryVectorAndPair) {
  const Json json = Json::parse(to_json(test::sample_analysis()));
  EXPECT_EQ(json["schema"], "suture.analyze/1");
  ASSERT_EQ(json["vectors"].size(), 2u);
  const Json& first = json["vectors"][0];
  EXPECT_EQ(first["name"], "first");
  EXPECT_EQ(first["total"]["norm"], 2);
  EXPECT_EQ(first["total"]["changed"], 0.25);
  EXPECT_EQ(first["total"]["changed_elements"], 250);
  EXPECT_EQ(first["total"]["relative_norm"], 0.25);
  EXPECT_EQ(first["total"]["histogram"]["first_exponent"], -3);
  EXPECT_EQ(first["total"]["histogram"]["counts"], Json::array({5, 0, 20}));
  EXPECT_FALSE(first["total"].contains("non_finite"));
  EXPECT_EQ(first["layers"][1]["layer"], 11);
  EXPECT_EQ(first["layers"][2]["layer"], "outside");
  EXPECT_EQ(first["blocks"][0]["block"], "mlp");
  EXPECT_EQ(first["modules"][0]["module"], "up_proj");
  EXPECT_EQ(first["tensors"][1]["name"], "model.norm.weight");
  const Json& second = json["vectors"][1];
  EXPECT_EQ(second["total"]["non_finite"], 3);
  EXPECT_FALSE(second["total"].contains("relative_norm"));
  const Json& pair = json["pairs"][0];
  EXPECT_EQ(pair["first"], "first");
  EXPECT_EQ(pair["second"], "second");
  EXPECT_EQ(pair["total"]["cosine"], -0.75);
  EXPECT_EQ(pair["layers"][0]["sign_agreement"], 0.625);
  EXPECT_EQ(pair["tensors"][0]["both_changed"], 200);
}

TEST(JsonReport, KeepsHostileNamesAndStaysPlainText) {
  const std::string text = to_json(test::sample_analysis());
  EXPECT_EQ(Json::parse(text)["vectors"][0]["tensors"][0]["name"], test::kHostileName);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(JsonReport, IsValidWhateverTheBytesAndNumbers) {
  Analysis analysis = test::sample_analysis();
  analysis.tensors[0].name = "not \xFF UTF-8";
  analysis.total.vectors[0].norm = std::numeric_limits<double>::infinity();
  analysis.total.vectors[0].rms = std::numeric_limits<double>::quiet_NaN();
  const Json json = Json::parse(to_json(analysis));
  EXPECT_TRUE(json["vectors"][0]["total"]["norm"].is_null());
  EXPECT_TRUE(json["vectors"][0]["total"]["rms"].is_null());
}

}  // namespace
}  // namespace suture::report
