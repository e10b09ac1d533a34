#include "ablation/effects.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "evaluate/paired_effect.h"
#include "support/thrown.h"

namespace suture::ablation {
namespace {

using test::holds;
using test::thrown_by;

ArmMetric metric(const std::string& name, bool is_share, std::vector<double> records) {
  ArmMetric made;
  made.task = "task";
  made.name = name;
  made.filter = "none";
  made.is_share = is_share;
  for (const double record : records) made.value += record / static_cast<double>(records.size());
  made.records = std::move(records);
  return made;
}

ArmResult arm(const std::string& name, const std::string& family, const std::string& reference,
              std::vector<ArmMetric> metrics) {
  ArmResult result;
  result.arm.name = name;
  result.arm.family = family;
  result.arm.reference = reference;
  result.metrics = std::move(metrics);
  return result;
}

std::vector<double> drawn(std::mt19937& random, bool is_share, double shift) {
  std::normal_distribution<double> normal(shift, 1);
  std::vector<double> records(40);
  for (double& record : records)
    record = is_share ? (normal(random) > 0 ? 1.0 : 0.0) : normal(random);
  return records;
}

// Two families of different sizes on a share and a mean.
Ablation random_ablation() {
  std::mt19937 random(9);
  const auto metrics = [&](double shift) {
    return std::vector<ArmMetric>{metric("acc", true, drawn(random, true, shift)),
                                  metric("nll", false, drawn(random, false, shift))};
  };
  Ablation ablation;
  ablation.arms.push_back(arm("target", "controls", "", metrics(0)));
  ablation.arms.push_back(arm("vector", "controls", "target", metrics(0.8)));
  ablation.arms.push_back(arm("random", "controls", "target", metrics(0.1)));
  for (int layer = 0; layer < 5; ++layer)
    ablation.arms.push_back(
        arm("without " + std::to_string(layer), "without layer", "vector", metrics(0.2 * layer)));
  return ablation;
}

const ArmEffect& effect(const Ablation& ablation, const std::string& name, std::size_t index) {
  return *ablation.find(name)->effects.at(index);
}

TEST(AddEffects, IsThePairedEffectAgainstTheReference) {
  Ablation ablation = random_ablation();
  add_effects(ablation);
  for (const ArmResult& result : ablation.arms) {
    ASSERT_EQ(result.effects.size(), 2u);
    for (std::size_t m = 0; m < 2; ++m) {
      ASSERT_EQ(result.effects[m].has_value(), !result.arm.reference.empty()) << result.arm.name;
      if (!result.effects[m]) continue;
      const ArmMetric& reference = ablation.find(result.arm.reference)->metrics[m];
      const evaluation::PairedEffect expected = evaluation::paired_effect(
          result.metrics[m].records, reference.records,
          m == 0 ? evaluation::EffectKind::kShare : evaluation::EffectKind::kMean,
          result.arm.family == "controls" ? 2 : 5);
      const ArmEffect& found = *result.effects[m];
      EXPECT_EQ(found.reference_value, reference.value);
      EXPECT_EQ(found.difference, expected.difference);
      EXPECT_EQ(found.standard_error, expected.standard_error);
      EXPECT_EQ(found.low.value(), expected.interval->low);
      EXPECT_EQ(found.high.value(), expected.interval->high);
      EXPECT_EQ(found.p, expected.p_value);
      EXPECT_EQ(found.gained, expected.gained);
      EXPECT_EQ(found.lost, expected.lost);
      EXPECT_EQ(found.smallest_detectable, expected.smallest_detectable);
    }
  }
}

TEST(AddEffects, CorrectsEachMetricOverTheArmsOfItsFamily) {
  Ablation ablation = random_ablation();
  add_effects(ablation);
  for (const char* family : {"controls", "without layer"}) {
    for (std::size_t m = 0; m < 2; ++m) {
      std::vector<double> p, found;
      for (const ArmResult& result : ablation.arms) {
        if (result.arm.family != family || !result.effects[m]) continue;
        p.push_back(*result.effects[m]->p);
        found.push_back(*result.effects[m]->p_holm);
      }
      EXPECT_EQ(found, evaluation::holm(p)) << family << " " << m;
    }
  }
}

TEST(AddEffects, PairsMetricsByTaskNameAndFilter) {
  Ablation ablation;
  std::vector<ArmMetric> metrics{metric("acc", false, {1, 2, 4}), metric("acc", false, {5, 5, 6}),
                                 metric("nll", false, {0, 1, 0})};
  metrics[1].filter = "strict";
  ablation.arms.push_back(arm("target", "f", "", {metrics[2], metrics[1], metrics[0]}));
  ablation.arms.push_back(arm("vector", "f", "target", metrics));
  ablation.arms.back().metrics[2].task = "another";
  add_effects(ablation);
  EXPECT_EQ(effect(ablation, "vector", 0).difference, 0);
  EXPECT_EQ(effect(ablation, "vector", 1).difference, 0);
  EXPECT_FALSE(ablation.find("vector")->effects[2].has_value());
}

TEST(AddEffects, OfAnEvaluatorThatToldNoRecordsIsADifferenceAlone) {
  Ablation ablation;
  ablation.arms.push_back(arm("target", "f", "", {metric("score", false, {})}));
  ablation.arms.push_back(arm("vector", "f", "target", {metric("score", false, {})}));
  ablation.arms[0].metrics[0].value = 0.25;
  ablation.arms[1].metrics[0].value = 0.75;
  add_effects(ablation);
  const ArmEffect& found = effect(ablation, "vector", 0);
  EXPECT_EQ(found.reference_value, 0.25);
  EXPECT_EQ(found.difference, 0.5);
  EXPECT_FALSE(found.standard_error || found.low || found.p || found.p_holm ||
               found.smallest_detectable);
}

TEST(AddEffects, LeavesWhatCannotBeTestedOutOfTheCorrection) {
  const double inf = std::numeric_limits<double>::infinity();
  Ablation ablation;
  ablation.arms.push_back(arm("target", "f", "", {metric("m", false, {0, 0, 0, 0})}));
  ablation.arms.push_back(arm("finite", "f", "target", {metric("m", false, {1, 2, 1, 1})}));
  ablation.arms.push_back(arm("infinite", "f", "target", {metric("m", false, {1, -inf, 1, 1})}));
  add_effects(ablation);
  EXPECT_EQ(effect(ablation, "finite", 0).p_holm, effect(ablation, "finite", 0).p);
  EXPECT_FALSE(effect(ablation, "infinite", 0).p.has_value());
  EXPECT_FALSE(effect(ablation, "infinite", 0).p_holm.has_value());
  EXPECT_EQ(effect(ablation, "infinite", 0).non_finite, 1u);
}

TEST(AddEffects, HasNoneWithoutItsReference) {
  Ablation ablation;
  ablation.arms.push_back(arm("vector", "f", "target", {metric("m", false, {1, 2})}));
  add_effects(ablation);
  ASSERT_EQ(ablation.arms[0].effects.size(), 1u);
  EXPECT_FALSE(ablation.arms[0].effects[0].has_value());
}

TEST(AddEffects, RefusesOtherRecords) {
  for (const std::vector<double>& records : {std::vector<double>{1, 2, 3}, {}}) {
    Ablation ablation;
    ablation.arms.push_back(arm("target", "f", "", {metric("m", false, {1, 2})}));
    ablation.arms.push_back(arm("vector", "f", "target", {metric("m", false, records)}));
    const std::string message = thrown_by<UsageError>([&] { add_effects(ablation); });
    EXPECT_TRUE(holds(message, std::to_string(records.size()) + " records of m"));
    EXPECT_TRUE(holds(message, "2 in another"));
    EXPECT_TRUE(test::is_one_plain_line(message));
  }
}

}  // namespace
}  // namespace suture::ablation
