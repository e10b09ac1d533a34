#include "report/text_report.h"

#include <string>

#include <gtest/gtest.h>

#include "support/sample_analysis.h"
#include "support/thrown.h"

namespace suture::report {
namespace {

using test::holds;

// Lines of visible characters, and newlines: nothing that moves the cursor or the direction.
testing::AssertionResult is_plain(const std::string& text) {
  for (const char c : text) {
    if (c != '\n' && static_cast<unsigned char>(c) < 0x20)
      return testing::AssertionFailure() << "control character " << int{c} << " in: " << text;
  }
  if (text.find("\xE2\x80\xAE") != std::string::npos)
    return testing::AssertionFailure() << "a direction mark in: " << text;
  return testing::AssertionSuccess();
}

TEST(TextReport, OfACheckShowsEachFindingWithMeaningAndRemedy) {
  Compatibility found;
  found.findings = {{Severity::kBlocker, "rope", "theta differs", "trained for other positions",
                     "use models that agree"},
                    {Severity::kWarning, "config", "none", "", ""},
                    {Severity::kNote, "dtypes", "differ", "", ""}};
  found.kinship = {{"b", "a", 0.25, 0.5}};
  const std::string text = to_text(found, {});
  EXPECT_TRUE(holds(text,
                    "STOP  rope: theta differs\n      trained for other positions\n"
                    "      -> use models that agree\n"));
  EXPECT_TRUE(holds(text, "warn  config: none\nnote  dtypes: differ\n"));
  EXPECT_TRUE(holds(text, "b from a"));
  EXPECT_TRUE(holds(text, "25.0 %"));
  EXPECT_TRUE(holds(text, "\nnot fit for surgery\n"));
  EXPECT_EQ(to_text(Compatibility(), {}), "fit for surgery\n");
}

TEST(TextReport, OfAnAnalysisShowsTablesBarsAndTheHistogram) {
  const std::string text = to_text(test::sample_analysis(), {});
  for (const char* part :
       {"first: norm 2, 25.0 % of its base; 25.0 % of 1.0 k elements changed", "second: norm 1;",
        "up_proj", "mlp", "outside", "model.norm.weight", "2^-3", "2^-1", "first against second",
        "-0.75", "62.5 %", "50.0 %", "████"}) {
    EXPECT_TRUE(holds(text, part));
  }
}

TEST(TextReport, OfAnAnalysisWarnsOfNonFiniteElements) {
  EXPECT_TRUE(holds(to_text(test::sample_analysis(), {}), "warning: 3 elements are NaN"));
}

TEST(TextReport, OfAnAnalysisHasNoHostileName) {
  Analysis analysis = test::sample_analysis();
  analysis.vectors[0] = analysis.modules[0].name = test::kHostileName;
  EXPECT_TRUE(is_plain(to_text(analysis, {})));
}

TEST(TextReport, IsAsciiWhereTheTerminalIs) {
  for (const char c : to_text(test::sample_analysis(), {false, 80}))
    EXPECT_LT(static_cast<unsigned char>(c), 0x80);
}

TEST(TextReport, OfAnEmptyAnalysisIsEmpty) { EXPECT_EQ(to_text(Analysis(), {}), ""); }

TEST(TextReport, ShowsTheLargestTensorsOnly) {
  Analysis analysis = test::sample_analysis();
  analysis.tensors.clear();
  for (int i = 0; i < 30; ++i) {
    AnalysisRow row = analysis.total;
    row.name = "tensor" + std::to_string(i) + ".";
    row.vectors[0].norm = row.vectors[1].norm = i;
    analysis.tensors.push_back(row);
  }
  const std::string text = to_text(analysis, {});
  EXPECT_TRUE(holds(text, "tensor29."));
  EXPECT_TRUE(holds(text, "tensor20."));
  EXPECT_EQ(text.find("tensor19."), std::string::npos);
}

TEST(TextReport, OfAnExtractionIsAFewSentences) {
  ExtractReport report;
  report.tensors = 290;
  report.elements = 1000;
  report.changed_elements = 500;
  report.norm = 2;
  report.base_norm = 8;
  report.bytes_written = 4000;
  EXPECT_EQ(to_text(report),
            "290 tensors, 4.0 kB; norm 2 (25.0 % of the base); 50.0 % of elements changed\n");
  report.dtypes = {{Dtype::kF32, 179}, {Dtype::kBF16, 111}};
  report.sparse_tensors = 3;
  report.widened_tensors = 2;
  report.inexact_elements = 5;
  report.left_out = {"a", "b", "c", "d", "e", "f", "g"};
  const std::string text = to_text(report);
  EXPECT_TRUE(holds(text, "\nstored as bf16 (111 tensors), f32 (179); 3 of them sparse\n"));
  EXPECT_TRUE(holds(text, "2 tensors are stored as float64"));
  EXPECT_TRUE(holds(text, "not tuned to the bit in 5 elements"));
  EXPECT_TRUE(holds(text, "left out: a, b, c, d, e, and 2 more"));
}

TEST(TextReport, OfAnInjectionIsAFewSentences) {
  InjectReport report;
  report.computed_tensors = 5;
  report.copied_tensors = 7;
  report.bytes_written = 988'000'000;
  EXPECT_EQ(to_text(report), "5 tensors computed, 7 copied as they were; 988.0 MB\n");
  report.mapped_rows = 12;
  EXPECT_TRUE(holds(to_text(report), "12 vocabulary rows matched"));
}

RealisedChange change(double cosine, double ratio) {
  RealisedChange made;
  made.elements = 1000;
  made.changed = 250;
  made.wanted_norm = 2;
  made.realised_norm = 2 * ratio;
  made.cosine = cosine;
  return made;
}

TEST(TextReport, OfAnInjectionSaysWhatRoundingMadeOfIt) {
  InjectReport report;
  report.realised.total = change(0.99, 1);
  report.realised.layers = {change(0.99, 1)};
  EXPECT_TRUE(holds(to_text(report),
                    "realised: 25.0 % of elements changed; cosine with the wanted "
                    "change 0.99, norm ratio 1\n"));
  EXPECT_FALSE(holds(to_text(report), "warning"));
}

TEST(TextReport, OfAnInjectionWarnsOfPoorLayersAndSaysWhatHelps) {
  InjectReport report;
  report.realised.total = change(0.95, 1);
  const RealisedChange good = change(0.99, 1), turned = change(0.5, 1), shrunk = change(0.95, 0.5);
  report.realised.layers = {turned, turned, shrunk, good, RealisedChange(), turned};
  const std::string text = to_text(report);
  EXPECT_TRUE(holds(text, "in layers 0-2, 5;"));
  EXPECT_TRUE(holds(text, "--dtype f32"));
  EXPECT_TRUE(holds(text, "--round stochastic"));
  report.realised.outside_layers = turned;
  EXPECT_TRUE(holds(to_text(report), "in layers 0-2, 5 and outside;"));
  report.realised.layers = {good};
  EXPECT_TRUE(holds(to_text(report), "of this change outside the layers;"));
}

}  // namespace
}  // namespace suture::report
