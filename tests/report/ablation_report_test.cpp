#include "report/ablation_report.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "format/json.h"
#include "support/csv_rows.h"
#include "support/sample_ablation.h"
#include "support/sample_analysis.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::report {
namespace {

using format::Json;
using test::csv_rows;
using test::holds;
using test::kHostileName;
using test::sample_ablation;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

AblationProtocol sample_protocol() {
  AblationProtocol protocol;
  protocol.command = "ablate";
  protocol.evaluation.model = "models/instruct";
  protocol.evaluation.architecture = "Qwen2ForCausalLM";
  protocol.evaluation.dtype = "f32";
  protocol.evaluation.model_digest = "abcd";
  protocol.evaluation.seconds = 12.5;
  protocol.evaluation.start_time = 1.7e9;
  protocol.vector = "0.8 * (grpo - sft)";
  protocol.vector_digest = "ef01";
  return protocol;
}

Task task_with(const std::string& members) {
  const test::TempDir folder;
  const std::string path = (folder / "task.jsonl").string();
  std::ofstream(path) << R"({"task": {"name": "gsm8k")" << members << "}}\n"
                      << R"({"prompt": "1+1=", "target": "2"})"
                      << "\n"
                      << R"({"prompt": "1+2=", "target": "3"})"
                      << "\n";
  return Task::open(path);
}

std::string text_of(const Ablation& ablation, const TextStyle& style = {}) {
  return to_text(sample_protocol(), ablation, style);
}

Json json_of(const Ablation& ablation) { return Json::parse(to_json(sample_protocol(), ablation)); }

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string line_with(const std::string& text, const std::string& part) {
  for (const std::string& line : lines_of(text))
    if (line.find(part) != std::string::npos) return line;
  ADD_FAILURE() << "'" << part << "' is not in: " << text;
  return {};
}

std::size_t count_in(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
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

Ablation with_hostile_names() {
  Ablation ablation = sample_ablation();
  for (ArmResult& result : ablation.arms) {
    result.arm.family += kHostileName;
    if (!result.arm.reference.empty()) result.arm.reference = kHostileName;
    for (ArmMetric& metric : result.metrics) {
      metric.task = kHostileName;
      metric.filter = kHostileName;
    }
  }
  ablation.arms[1].arm.name = ablation.arms[1].same_weights_as = kHostileName;
  ablation.arms[1].realised = change(0.5, 1);
  ablation.arms[1].effects[0]->non_finite = 1;
  ablation.arms[4].arm.part = kHostileName;
  return ablation;
}

// --- Text ----------------------------------------------------------------------------------------

TEST(AblationText, IsTablesWithBarsAndWhatTheySay) {
  EXPECT_EQ(text_of(sample_ablation()),
            "target     models/instruct (Qwen2ForCausalLM, f32)\n"
            "vector     0.8 * (grpo - sft)\n"
            "\n"
            "gsm8k: exact_match,strict, 4 records, higher is better\n"
            "\n"
            "arm              score  effect      95 % interval       p  -0.450         +0.100\n"
            "\n"
            "controls, against target\n"
            "  target         0.250\n"
            "  vector         0.750  +0.500*  +0.300 to +0.700  <0.001                  │   →\n"
            "  random seed=0  0.000  -0.250   -0.550 to +0.050   0.500  ←──────●────────┼─┤\n"
            "  random seed=1  0.250   0.000   -0.300 to +0.300   1.000       ├──────────●───→\n"
            "\n"
            "without layer, against vector\n"
            "  layer=0        0.500  -0.250   -0.450 to -0.050   0.080  ├──────●───────┤│\n"
            "  layer=1        0.750   0.000   -0.100 to +0.100   1.000               ├──●───┤\n"
            "\n"
            "An effect is an arm's score minus that of the arm it is against, on the same 4\n"
            "  records.\n"
            "controls: 1 of 3 differs from target; smallest effect that shows: 0.300 to\n"
            "  0.450.\n"
            "without layer: nothing here is distinguishable from vector; smallest effect that\n"
            "  would have shown: 0.150 to 0.300.\n"
            "2 random vectors: score 0.125 on average (0.000 to 0.250), effect -0.125 (-0.250\n"
            "  to 0.000).\n"
            "\n"
            "gsm8k: target_nll_per_token, 4 records, lower is better\n"
            "\n"
            "arm              score  effect    95 % interval      p  -0.30    0         +0.45\n"
            "\n"
            "controls, against target\n"
            "  target          1.50\n"
            "  vector          1.00   -0.50*  -0.80 to -0.20  0.020  ←──┤     │\n"
            "  random seed=0   1.75   +0.25   -0.05 to +0.55  0.500          ├┼───────●─────→\n"
            "  random seed=1   1.50    0.00   -0.30 to +0.30  1.000  ├────────●────────┤\n"
            "\n"
            "without layer, against vector\n"
            "  layer=0         1.25   +0.25*  +0.05 to +0.45  0.030           │ ├─────●─────┤\n"
            "  layer=1         1.00    0.00   -0.30 to +0.30  1.000  ├────────●────────┤\n"
            "\n"
            "An effect is an arm's score minus that of the arm it is against, on the same 4\n"
            "  records.\n"
            "controls: 1 of 3 differs from target; smallest effect that shows: 0.45.\n"
            "without layer: 1 of 2 differs from vector; smallest effect that shows: 0.30 to\n"
            "  0.45.\n"
            "2 random vectors: score 1.62 on average (1.50 to 1.75), effect +0.12 (0.00 to\n"
            "  +0.25).\n"
            "\n"
            "├──●──┤ is an effect with its 95 % interval, │ is zero, ← and → lead beyond the\n"
            "  axis.\n"
            "Each interval stands alone: of 20 arms that change nothing, one misses zero. p\n"
            "  is after Holm's correction over the arms under one heading; * marks p < 0.05.\n"
            "The smallest effect that shows is shown by this many records with 80 % power.\n");
}

TEST(AblationText, HasPlainCharactersForPlainTerminals) {
  const std::string text = text_of(sample_ablation(), {false, 80});
  for (const char c : text) ASSERT_LT(static_cast<unsigned char>(c), 0x80) << text;
  EXPECT_TRUE(holds(line_with(text, "  layer=0"), "|------o-------|:"));
  EXPECT_TRUE(holds(text, "|--o--| is an effect"));
  EXPECT_TRUE(holds(text_of(sample_ablation(), {false, 80, ColourDepth::k16}), "Blue is told"));
}

TEST(AblationText, NoLineIsWiderThanTheTerminal) {
  Ablation ablation = sample_ablation();
  ablation.arms[4].arm.name = "without " + std::string(200, 'x');
  ablation.arms[5].arm.part = "block=attention & layer=0-7,20-23 & !name=model.norm.weight";
  ablation.arms[5].arm.name = "without " + ablation.arms[5].arm.part;
  ablation.arms[5].same_weights_as = ablation.arms[4].arm.name;
  ablation.arms[4].realised = change(0.5, 1);
  ablation.arms[2].metrics[1].value = -1.2345e200;
  for (const Ablation& sample : {sample_ablation(), ablation, with_hostile_names()})
    for (const bool unicode : {true, false})
      for (int width = 24; width <= 130; ++width)
        for (const std::string& line : lines_of(text_of(sample, {unicode, width})))
          ASSERT_LE(columns_of(line), static_cast<std::size_t>(width)) << line;
}

TEST(AblationText, NarrowTerminalsLoseColumnsAndWideOnesGainWiderBars) {
  const std::string wide = text_of(sample_ablation(), {true, 120});
  EXPECT_TRUE(holds(line_with(wide, "  layer=0"), "├──────────────●─────────────┤   │")) << wide;
  const std::string narrow = text_of(sample_ablation(), {true, 60});
  EXPECT_EQ(narrow.find("95 % interval  "), std::string::npos);
  EXPECT_TRUE(holds(line_with(narrow, "  layer=0"), "●"));
  const std::string narrower = text_of(sample_ablation(), {true, 42});
  EXPECT_EQ(line_with(narrower, "  layer=0"), "  layer=0        0.500  -0.250    0.080");
  EXPECT_TRUE(holds(line_with(text_of(sample_ablation(), {true, 36}), "  vector"), "+0.500*"));
}

TEST(AblationText, OneLongNameLeavesTheBarsTheirRoom) {
  Ablation ablation = sample_ablation();
  ablation.arms[5].arm.part = std::string(60, 'x') + "end";
  ablation.arms[5].arm.name = "without " + ablation.arms[5].arm.part;
  const std::string text = text_of(ablation, {true, 120});
  EXPECT_TRUE(holds(line_with(text, "end  "), "…x"));
  EXPECT_EQ(columns_of(line_with(text, "-0.450 ")), 120u) << "the axis takes what is left";
}

TEST(AblationText, LeavesOutOfNamesOnlyWhatTheHeadingSays) {
  Ablation ablation = sample_ablation();
  ablation.arms[5].arm.family = "layers";
  EXPECT_TRUE(holds(text_of(ablation), "\nwithout layer, against vector\n  layer=0 "));
  EXPECT_TRUE(holds(text_of(ablation), "\nlayers, against vector\n  without layer=1 "));
  ablation.arms[4].arm.family = ablation.arms[5].arm.family = "";
  EXPECT_TRUE(holds(text_of(ablation), "\nwithout layer=0 "));
}

TEST(AblationText, HasNoHostileName) {
  const std::string text = text_of(with_hostile_names());
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << text;
  EXPECT_EQ(text.find("\xE2\x80\xAE"), std::string::npos);
  EXPECT_TRUE(test::is_one_plain_line(arm_line(with_hostile_names().arms[1])));
}

TEST(AblationText, MarksWhatIsSignificantAfterHolm) {
  Ablation ablation = sample_ablation();
  ablation.arms[4].effects[0]->p_holm = 0.05;
  EXPECT_TRUE(holds(line_with(text_of(ablation), "  layer=0"), "-0.250   "));
  ablation.arms[4].effects[0]->p_holm = 0.0499;
  EXPECT_TRUE(holds(line_with(text_of(ablation), "  layer=0"), "-0.250*  "));
  EXPECT_TRUE(holds(text_of(ablation), "without layer: 1 of 2 differs from vector;"));
}

TEST(AblationText, EffectsWithoutIntervalsAreNumbersAndPoints) {
  Ablation ablation = sample_ablation();
  for (ArmResult& result : ablation.arms) {
    for (ArmMetric& metric : result.metrics) metric.records.clear();
    for (std::optional<ArmEffect>& effect : result.effects)
      if (effect) {
        effect->standard_error = effect->low = effect->high = effect->p = effect->p_holm =
            effect->smallest_detectable = std::nullopt;
      }
  }
  const std::string text = text_of(ablation);
  EXPECT_EQ(line_with(text, "arm  ").find("interval"), std::string::npos);
  EXPECT_TRUE(holds(line_with(text, "  layer=0"), "0.500  -0.250   ●"));
  EXPECT_TRUE(holds(text, "gsm8k: exact_match,strict, higher is better\n"));
  EXPECT_TRUE(holds(text, "against; without the\n  records' scores it has no interval.\n"));
  EXPECT_EQ(text.find("Holm"), std::string::npos);
  EXPECT_EQ(text.find("distinguishable"), std::string::npos);
}

TEST(AblationText, ArmsWithoutEffectsHaveScoresAlone) {
  Ablation ablation = sample_ablation();
  for (ArmResult& result : ablation.arms) result.effects.clear();
  ablation.arms[4].metrics.clear();
  const std::string text = text_of(ablation);
  EXPECT_TRUE(holds(text, "\narm              score\n\ncontrols\n  target         0.250\n"));
  EXPECT_TRUE(holds(text, "\n  layer=0            -\n"));
}

TEST(AblationText, OfNothingIsWhatWasAsked) {
  EXPECT_EQ(text_of(Ablation()),
            "target     models/instruct (Qwen2ForCausalLM, f32)\n"
            "vector     0.8 * (grpo - sft)\n");
}

TEST(AblationText, ShowsTheMetricThatTheTaskNames) {
  Ablation ablation = sample_ablation();
  for (ArmResult& result : ablation.arms) {
    ArmMetric flexible = result.metrics[0];
    flexible.filter = "flexible";
    result.metrics.push_back(flexible);
    result.effects.push_back(result.effects[0]);
  }
  EXPECT_TRUE(holds(text_of(ablation), "gsm8k: exact_match,strict, 4"));
  EXPECT_TRUE(holds(text_of(ablation), "\nAlso measured: exact_match,flexible; --json"));
  AblationProtocol protocol = sample_protocol();
  protocol.tasks = {task_with(R"(, "primary_metric": "exact_match,flexible")")};
  const std::string text = to_text(protocol, ablation, {});
  EXPECT_TRUE(holds(text, "gsm8k: exact_match,flexible, 4"));
  EXPECT_TRUE(holds(text, "gsm8k: target_nll_per_token, 4"));
  EXPECT_TRUE(holds(text, "\nAlso measured: exact_match,strict; --json"));
  protocol.tasks = {task_with(R"(, "primary_metric": "target_nll_per_token")")};
  EXPECT_EQ(count_in(to_text(protocol, ablation, {}), "gsm8k: "), 1u);
}

TEST(AblationText, HasTablesForEveryTask) {
  Ablation ablation = sample_ablation();
  for (ArmResult& result : ablation.arms) {
    result.metrics.push_back(result.metrics[0]);
    result.metrics.back().task = "sciq";
    result.effects.push_back(result.effects[1]);
  }
  const std::string text = text_of(ablation);
  EXPECT_TRUE(holds(text, "\ngsm8k: exact_match,strict, 4"));
  EXPECT_TRUE(holds(text, "\nsciq: exact_match,strict, 4"));
  EXPECT_EQ(count_in(text, "is an effect with its"), 1u) << "the legend stands once";
}

TEST(AblationText, TellsWhatIsNotTestedOrTheSame) {
  Ablation ablation = sample_ablation();
  ablation.arms[5].same_weights_as = "vector";
  ablation.arms[4].effects[0]->non_finite = 2;
  const std::string text = text_of(ablation);
  EXPECT_TRUE(holds(text, "\nwithout layer=1: same weights as vector.\n"));
  EXPECT_TRUE(holds(
      text, "Not tested, since up to 2 records have no finite difference: without layer=0.\n"));
}

TEST(AblationText, WarnsWhereRoundingDistortsTheVector) {
  Ablation ablation = sample_ablation();
  ablation.arms[1].realised = change(0.99, 1);
  EXPECT_EQ(text_of(ablation).find("warning"), std::string::npos);
  for (const std::size_t i : {4u, 5u}) ablation.arms[i].realised = change(0.5, 0.25 * double(i));
  ablation.arms[5].realised->non_finite = 3;
  const std::string text = text_of(ablation, {true, 200});
  EXPECT_TRUE(holds(text,
                    "\nwarning: rounding loses or distorts much of the vector in without layer=0, "
                    "without layer=1: cosine with what was wanted 0.50, norm ratio 1.00 to 1.25. "
                    "A wider dtype or a larger scale keeps more of it.\n"));
  EXPECT_TRUE(holds(text, "\nwarning: weights became NaN or infinite in without layer=1."));
}

TEST(AblationText, TakesValuesThatAreNoNumbers) {
  Ablation ablation = sample_ablation();
  ablation.arms[4].metrics[1].value = kNaN;
  ablation.arms[4].effects[1] = test::effect(kNaN, kNaN, 1);
  ablation.arms[5].metrics[1].value = kInfinity;
  ablation.arms[5].effects[1] = test::effect(kInfinity, kNaN, 1);
  const std::string text = text_of(ablation);
  EXPECT_TRUE(holds(text, "  layer=0          nan     nan"));
  EXPECT_TRUE(holds(text, "  layer=1          inf    +inf"));
  EXPECT_TRUE(holds(line_with(text, "-0.80 to"), "├")) << "the axis is that of the finite ones";
  EXPECT_EQ(count_in(text, "distinguishable from vector.\n"), 1u) << "no effect is known to show";
}

TEST(AblationText, NamesTheOutsideEvaluator) {
  AblationProtocol protocol = sample_protocol();
  protocol.outside_evaluator = "./score.sh {}";
  EXPECT_TRUE(holds(to_text(protocol, sample_ablation(), {}), "\nscored by  ./score.sh {}\n"));
}

TEST(ArmLine, TellsTheScoreAndTheEffectIfItIsKnown) {
  ArmResult result = sample_ablation().arms[4];
  EXPECT_EQ(arm_line(result), "without layer=0  exact_match,strict 0.500 (-0.250)");
  result.effects.clear();
  EXPECT_EQ(arm_line(result), "without layer=0  exact_match,strict 0.500");
  result.metrics.push_back(test::loss_metric({0.125}));
  result.metrics.back().task = "wiki";
  EXPECT_EQ(arm_line(result),
            "without layer=0  gsm8k exact_match,strict 0.500, wiki target_nll_per_token 0.1250");
  result.metrics.clear();
  EXPECT_EQ(arm_line(result), "without layer=0");
}

// --- JSON ----------------------------------------------------------------------------------------

TEST(AblationJson, TellsTheProtocolWithoutTimes) {
  const std::string text = to_json(sample_protocol(), sample_ablation());
  const Json json = Json::parse(text);
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(json["schema"], "suture.ablation/1");
  const Json& protocol = json["protocol"];
  EXPECT_EQ(protocol["command"], "ablate");
  EXPECT_EQ(protocol["vector"], "0.8 * (grpo - sft)");
  EXPECT_EQ(protocol["vector_digest"], "ef01");
  EXPECT_EQ(protocol["outside_evaluator"], nullptr);
  EXPECT_EQ(protocol["model"], "models/instruct");
  EXPECT_EQ(protocol["model_digest"], "abcd");
  EXPECT_FALSE(protocol.contains("seconds"));
  AblationProtocol later = sample_protocol();
  later.evaluation.seconds = later.evaluation.start_time = 99;
  EXPECT_EQ(to_json(later, sample_ablation()), text);
}

TEST(AblationJson, SaysHowEffectsWereComputed) {
  const Json statistics = json_of(sample_ablation())["statistics"];
  EXPECT_EQ(statistics["shares"]["test"], "exact McNemar");
  EXPECT_EQ(statistics["shares"]["interval"], "Bonett-Price");
  EXPECT_EQ(statistics["means"]["test"], "paired t");
  EXPECT_EQ(statistics["correction"], "Holm over the family");
  EXPECT_EQ(statistics["confidence"], 0.95);
  EXPECT_EQ(statistics["power"], 0.8);
}

TEST(AblationJson, TellsTasksWithTheirPrompts) {
  AblationProtocol protocol = sample_protocol();
  protocol.tasks = {task_with(R"(, "primary_metric": "exact_match")")};
  protocol.evaluation.options.limit = 1;
  const Json task = Json::parse(to_json(protocol, sample_ablation()))["tasks"][0];
  EXPECT_EQ(task["task"], "gsm8k");
  EXPECT_EQ(task["kind"], "generation");
  EXPECT_EQ(task["data_digest"], protocol.tasks[0].digest());
  EXPECT_EQ(task["records"], 2);
  EXPECT_EQ(task["scored_records"], 1);
  EXPECT_EQ(task["decoding"]["max_new_tokens"], 256);
  EXPECT_EQ(task["prompt"]["fewshot_delimiter"], "\n\n");
  EXPECT_EQ(task["primary_metric"], "exact_match");
}

TEST(AblationJson, TellsArmsInOrder) {
  Ablation ablation = sample_ablation();
  ablation.arms[4].arm.selection = Selection::parse("!layer=0");
  ablation.arms[4].arm.scale = 0.1;
  ablation.arms[4].realised = change(0.5, 0.25);
  ablation.arms[5].same_weights_as = "vector";
  const Json arms = json_of(ablation)["arms"];
  ASSERT_EQ(arms.size(), 6u);
  EXPECT_EQ(arms[0]["name"], "target");
  EXPECT_EQ(arms[0]["selection"], "all");
  for (const char* member : {"part", "seed", "reference", "same_weights_as", "realised"})
    EXPECT_EQ(arms[0][member], nullptr) << member;
  EXPECT_EQ(arms[3]["seed"], 1);
  EXPECT_EQ(arms[4]["name"], "without layer=0");
  EXPECT_EQ(arms[4]["kind"], "without");
  EXPECT_EQ(arms[4]["family"], "without layer");
  EXPECT_EQ(arms[4]["part"], "layer=0");
  EXPECT_EQ(arms[4]["selection"], "!layer=0");
  EXPECT_EQ(arms[4]["scale"], 0.1);
  EXPECT_EQ(arms[4]["reference"], "vector");
  EXPECT_EQ(arms[4]["realised"]["elements"], 1000);
  EXPECT_EQ(arms[4]["realised"]["changed"], 0.25);
  EXPECT_EQ(arms[4]["realised"]["norm_ratio"], 0.25);
  EXPECT_EQ(arms[4]["realised"]["cosine"], 0.5);
  EXPECT_EQ(arms[5]["same_weights_as"], "vector");
}

TEST(AblationJson, TellsMetricsRecordsAndEffects) {
  const Json arms = json_of(sample_ablation())["arms"];
  EXPECT_EQ(arms[0]["metrics"][0]["effect"], nullptr);
  const Json& share = arms[4]["metrics"][0];
  EXPECT_EQ(share["task"], "gsm8k");
  EXPECT_EQ(share["metric"], "exact_match");
  EXPECT_EQ(share["filter"], "strict");
  EXPECT_EQ(share["is_share"], true);
  EXPECT_EQ(share["higher_is_better"], true);
  EXPECT_EQ(share["value"], 0.5);
  EXPECT_EQ(share["records"], Json({1, 1, 0, 0}));
  const ArmEffect expected = *sample_ablation().arms[4].effects[0];
  const Json& effect = share["effect"];
  EXPECT_EQ(effect["reference_value"], 0.25);
  EXPECT_EQ(effect["difference"], -0.25);
  EXPECT_EQ(effect["standard_error"], 0.1);
  EXPECT_EQ(effect["interval_95"], Json({*expected.low, *expected.high}));
  EXPECT_EQ(effect["p"], 0.04);
  EXPECT_EQ(effect["p_holm"], 0.08);
  EXPECT_EQ(effect["gained"], 3);
  EXPECT_EQ(effect["lost"], 1);
  EXPECT_EQ(effect["non_finite"], 0);
  EXPECT_EQ(effect["smallest_detectable"], *expected.smallest_detectable);
  const Json& loss = arms[4]["metrics"][1];
  EXPECT_EQ(loss["higher_is_better"], false);
  EXPECT_EQ(loss["effect"]["gained"], nullptr) << "only shares gain and lose";
}

TEST(AblationJson, AbsentNumbersAreNullAndOddOnesAreTexts) {
  Ablation ablation = sample_ablation();
  ArmEffect bare;
  bare.difference = -kInfinity;
  ablation.arms[4].effects[0] = bare;
  ablation.arms[4].metrics[0].value = -kNaN;
  ablation.arms[4].metrics[0].records = {kInfinity, -kInfinity, kNaN, 0.1};
  const Json metric = json_of(ablation)["arms"][4]["metrics"][0];
  EXPECT_EQ(metric["value"], "nan");
  EXPECT_EQ(metric["records"], Json({"inf", "-inf", "nan", 0.1}));
  EXPECT_EQ(metric["effect"]["difference"], "-inf");
  for (const char* member : {"standard_error", "interval_95", "p", "p_holm", "smallest_detectable"})
    EXPECT_EQ(metric["effect"][member], nullptr) << member;
}

TEST(AblationJson, NumbersReadBackToTheBit) {
  Ablation ablation = sample_ablation();
  const std::vector<double> odd{1.0 / 3, 0.1 + 0.2, 1e-300, 5e-324, 123456789.123456789, -0.0};
  ablation.arms[4].metrics[1].records = odd;
  const Json records = json_of(ablation)["arms"][4]["metrics"][1]["records"];
  for (std::size_t i = 0; i < odd.size(); ++i) {
    EXPECT_EQ(records[i].get<double>(), odd[i]);
    EXPECT_EQ(std::signbit(records[i].get<double>()), std::signbit(odd[i]));
  }
}

TEST(AblationJson, PutsRecordsOnOneLine) {
  EXPECT_TRUE(holds(to_json(sample_protocol(), sample_ablation()),
                    "\n          \"records\": [1.0,1.0,0.0,0.0]\n        },\n"));
}

TEST(AblationJson, KeepsHostileNamesInTheirStrings) {
  Ablation ablation = with_hostile_names();
  EXPECT_EQ(json_of(ablation)["arms"][1]["name"], kHostileName);
  EXPECT_EQ(json_of(ablation)["arms"][1]["metrics"][0]["task"], kHostileName);
  ablation.arms[1].arm.name = "no UTF-8: \xFF";
  EXPECT_EQ(json_of(ablation)["arms"][1]["name"], "no UTF-8: \xEF\xBF\xBD");
}

// --- CSV -----------------------------------------------------------------------------------------

std::map<std::string, std::string> csv_line(const Ablation& ablation, std::size_t line) {
  const auto rows = csv_rows(to_csv(ablation));
  std::map<std::string, std::string> fields;
  for (std::size_t i = 0; i < rows[0].size(); ++i) fields[rows[0][i]] = rows.at(line).at(i);
  return fields;
}

TEST(AblationCsv, HasALinePerArmAndMetric) {
  const auto rows = csv_rows(to_csv(sample_ablation()));
  ASSERT_EQ(rows.size(), 1u + 6 * 2);
  for (const auto& row : rows) EXPECT_EQ(row.size(), 31u) << row[0];
  EXPECT_EQ(rows[1][0], "target");
  EXPECT_EQ(rows[2][0], "target");
  EXPECT_EQ(rows[3][0], "vector");
}

TEST(AblationCsv, TellsEverythingButRecords) {
  Ablation ablation = sample_ablation();
  ablation.arms[4].arm.scale = 0.1;
  ablation.arms[4].arm.seed = 7;
  ablation.arms[4].arm.selection = Selection::parse("layer=0,2");
  ablation.arms[4].realised = change(0.5, 0.25);
  ablation.arms[4].same_weights_as = "vector";
  const std::map<std::string, std::string> expected{{"arm", "without layer=0"},
                                                    {"kind", "without"},
                                                    {"family", "without layer"},
                                                    {"part", "layer=0"},
                                                    {"selection", "layer=0,2"},
                                                    {"scale", "0.10000000000000001"},
                                                    {"seed", "7"},
                                                    {"reference", "vector"},
                                                    {"same_weights_as", "vector"},
                                                    {"elements", "1000"},
                                                    {"changed", "0.25"},
                                                    {"norm_ratio", "0.25"},
                                                    {"cosine", "0.5"},
                                                    {"task", "gsm8k"},
                                                    {"metric", "exact_match"},
                                                    {"filter", "strict"},
                                                    {"is_share", "true"},
                                                    {"higher_is_better", "true"},
                                                    {"records", "4"},
                                                    {"value", "0.5"},
                                                    {"reference_value", "0.25"},
                                                    {"difference", "-0.25"},
                                                    {"standard_error", "0.10000000000000001"},
                                                    {"low", "-0.45000000000000001"},
                                                    {"high", "-0.049999999999999989"},
                                                    {"p", "0.040000000000000001"},
                                                    {"p_holm", "0.080000000000000002"},
                                                    {"gained", "3"},
                                                    {"lost", "1"},
                                                    {"non_finite", "0"},
                                                    {"smallest_detectable", "0.30000000000000004"}};
  EXPECT_EQ(csv_line(ablation, 9), expected);
}

TEST(AblationCsv, IsEmptyWhereThereIsNothing) {
  Ablation ablation = sample_ablation();
  ablation.arms[4].effects[0] = ArmEffect();
  ablation.arms[4].metrics[0].records.clear();
  const auto target = csv_line(ablation, 1), bare = csv_line(ablation, 9);
  for (const char* field : {"part", "seed", "reference", "elements", "cosine", "difference", "p",
                            "gained", "smallest_detectable"})
    EXPECT_EQ(target.at(field), "") << field;
  EXPECT_EQ(bare.at("difference"), "0");
  for (const char* field : {"records", "standard_error", "low", "high", "p", "p_holm"})
    EXPECT_EQ(bare.at(field), "") << field;
  EXPECT_EQ(csv_line(ablation, 10).at("gained"), "") << "only shares gain and lose";
}

TEST(AblationCsv, SaysWhatIsNoNumber) {
  Ablation ablation = sample_ablation();
  ablation.arms[0].metrics[0].value = -kNaN;
  ablation.arms[0].metrics[1].value = -kInfinity;
  EXPECT_EQ(csv_line(ablation, 1).at("value"), "nan");
  EXPECT_EQ(csv_line(ablation, 2).at("value"), "-inf");
}

TEST(AblationCsv, HostileNamesStayInTheirFieldsAndAreNoFormulas) {
  const auto line = csv_line(with_hostile_names(), 3);
  for (const char* field : {"arm", "reference", "same_weights_as", "task", "filter"})
    EXPECT_EQ(line.at(field), "'" + kHostileName) << field;
  EXPECT_EQ(line.at("family"), "controls" + kHostileName);
}

TEST(AblationReports, AreTheSameForTheSameResult) {
  EXPECT_EQ(text_of(sample_ablation()), text_of(sample_ablation()));
  EXPECT_EQ(to_csv(sample_ablation()), to_csv(sample_ablation()));
  EXPECT_EQ(to_json(sample_protocol(), sample_ablation()),
            to_json(sample_protocol(), sample_ablation()));
}

}  // namespace
}  // namespace suture::report
