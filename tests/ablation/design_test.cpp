#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/ablation.h"
#include "suture/error.h"
#include "suture/site.h"

#include "support/thrown.h"
#include "support/tiny_model.h"

namespace suture {
namespace {

using test::holds;
using test::thrown_by;
using Names = std::vector<std::string>;

TaskVector vector_with(const Names& names) {
  StateDict deltas;
  for (const std::string& name : names) deltas.set(name, at::ones({2}));
  return TaskVector::from(deltas);
}

TaskVector tiny_vector(std::int64_t layers = 3, bool tied = true) {
  test::TinyModel model;
  model.layers = layers;
  model.tied = tied;
  return TaskVector::from(test::make_weights(model, 1));
}

AblationPlan plan_of(AblationDesign design, AblationUnit unit = AblationUnit::kLayer) {
  AblationPlan plan;
  plan.designs = {design};
  plan.units = {unit};
  return plan;
}

Names names_of(const std::vector<Arm>& arms) {
  Names names;
  for (const Arm& arm : arms) names.push_back(arm.name);
  return names;
}

// The arms behind the controls.
Names parts_of(const std::vector<Arm>& arms) {
  Names parts;
  for (const Arm& arm : arms)
    if (!arm.part.empty()) parts.push_back(arm.part);
  return parts;
}

Names reached(const TaskVector& vector, const Arm& arm) {
  return vector.only(arm.selection).names();
}

const Arm& find(const std::vector<Arm>& arms, const std::string& name) {
  for (const Arm& arm : arms)
    if (arm.name == name) return arm;
  throw std::out_of_range(name);
}

// What holds for the arms of any plan.
void expect_sound(const std::vector<Arm>& arms) {
  std::set<std::string> names;
  for (const Arm& arm : arms) EXPECT_TRUE(names.insert(arm.name).second) << arm.name << " twice";
  for (const Arm& arm : arms) {
    EXPECT_FALSE(arm.family.empty()) << arm.name;
    EXPECT_TRUE(arm.reference.empty() || names.count(arm.reference) == 1) << arm.reference;
    EXPECT_NE(arm.reference, arm.name);
    const bool is_drawn = arm.kind == ArmKind::kRandom || arm.kind == ArmKind::kPermuted;
    EXPECT_EQ(arm.seed.has_value(), is_drawn) << arm.name;
    EXPECT_EQ(Selection::parse(arm.selection.to_string()).to_string(), arm.selection.to_string());
  }
}

TEST(AblationArms, LeavesEachLayerOutAfterReferencesAndControls) {
  const std::vector<Arm> arms = ablation_arms(tiny_vector(), {});
  EXPECT_EQ(names_of(arms),
            (Names{"target", "vector", "negated", "random seed=0", "random seed=1", "random seed=2",
                   "permuted seed=0", "without layer=0", "without layer=1", "without layer=2",
                   "without outside the layers"}));
  expect_sound(arms);
  for (const Arm& arm : arms) {
    const bool is_part = arm.kind == ArmKind::kWithout;
    EXPECT_EQ(arm.family, is_part ? "without layer" : "controls");
    EXPECT_EQ(arm.reference, is_part ? "vector" : arm.kind == ArmKind::kTarget ? "" : "target");
    EXPECT_EQ(arm.scale, arm.kind == ArmKind::kTarget ? 0 : arm.kind == ArmKind::kNegated ? -1 : 1);
  }
}

// Leaving out and taking alone split the vector, whatever the unit.
TEST(AblationArms, PartsOfAUnitAreThePartitionOfTheVector) {
  for (const bool tied : {true, false}) {
    const TaskVector vector = tiny_vector(4, tied);
    for (const auto unit : {AblationUnit::kLayer, AblationUnit::kBlock, AblationUnit::kModule}) {
      const auto without = ablation_arms(vector, plan_of(AblationDesign::kLeaveOneOut, unit));
      const auto only = ablation_arms(vector, plan_of(AblationDesign::kOnlyOne, unit));
      expect_sound(without);
      expect_sound(only);
      EXPECT_EQ(parts_of(without), parts_of(only));
      std::map<std::string, int> times;
      for (const std::string& part : parts_of(only)) {
        const Names taken = reached(vector, find(only, "only " + part));
        const Names left = reached(vector, find(without, "without " + part));
        EXPECT_FALSE(taken.empty()) << part;
        EXPECT_EQ(taken.size() + left.size(), vector.names().size());
        for (const std::string& name : taken) {
          ++times[name];
          EXPECT_EQ(std::count(left.begin(), left.end(), name), 0);
        }
      }
      EXPECT_EQ(times.size(), vector.names().size());
      for (const auto& [name, count] : times) EXPECT_EQ(count, 1) << name;
    }
  }
}

TEST(AblationArms, NamesBlocksAndModulesInTheirOrder) {
  const TaskVector vector = tiny_vector(2, false);
  EXPECT_EQ(
      parts_of(ablation_arms(vector, plan_of(AblationDesign::kOnlyOne, AblationUnit::kBlock))),
      (Names{"block=embedding", "block=norm", "block=attention", "block=mlp", "block=head"}));
  const Names modules =
      parts_of(ablation_arms(vector, plan_of(AblationDesign::kOnlyOne, AblationUnit::kModule)));
  EXPECT_EQ(modules.front(), "module=embed_tokens");
  EXPECT_EQ(modules.back(), "module=lm_head");
  EXPECT_EQ(std::count(modules.begin(), modules.end(), "module=q_proj"), 1);
}

TEST(AblationArms, CumulativeDesignsGrowToTheWholeVectorFromTheirEnd) {
  for (const bool tied : {true, false}) {
    const TaskVector vector = tiny_vector(3, tied);
    for (const auto design : {AblationDesign::kBottomUp, AblationDesign::kTopDown}) {
      const bool is_up = design == AblationDesign::kBottomUp;
      std::vector<Arm> arms = ablation_arms(vector, plan_of(design));
      expect_sound(arms);
      std::erase_if(arms, [](const Arm& arm) { return arm.part.empty(); });
      ASSERT_EQ(arms.size(), 3u);
      for (int layer = 0; layer < 3; ++layer) {
        const Arm& arm = arms[static_cast<std::size_t>(layer)];
        EXPECT_EQ(arm.family, is_up ? "bottom-up" : "top-down");
        EXPECT_EQ(arm.reference, "target");
        for (const std::string& name : vector.names()) {
          const Site site = site_of(name);
          const bool expected = site.layer ? (is_up ? *site.layer <= layer : *site.layer >= layer)
                                           : is_up == (site.block == Block::kEmbedding);
          EXPECT_EQ(arm.selection.matches(name), expected) << arm.name << " " << name;
        }
      }
    }
  }
}

TEST(AblationArms, HasNoArmForWhatTheVectorDoesNotReach) {
  const TaskVector vector = tiny_vector(6).only("layer=1,4");
  EXPECT_EQ(parts_of(ablation_arms(vector, {})), (Names{"layer=1", "layer=4"}));
  EXPECT_EQ(parts_of(ablation_arms(vector, plan_of(AblationDesign::kBottomUp))),
            (Names{"layer=0-1", "layer=0-4"}));
  EXPECT_EQ(parts_of(ablation_arms(vector, plan_of(AblationDesign::kTopDown))),
            (Names{"layer=1-", "layer=4-"}));
  const TaskVector modules = tiny_vector().only("module=q_proj,up_proj");
  EXPECT_EQ(parts_of(ablation_arms(modules,
                                   plan_of(AblationDesign::kLeaveOneOut, AblationUnit::kModule))),
            (Names{"module=q_proj", "module=up_proj"}));
}

TEST(AblationArms, OneLayerHasNoOtherOrder) {
  const std::vector<Arm> arms = ablation_arms(tiny_vector().only("layer=1"), {});
  for (const Arm& arm : arms) EXPECT_NE(arm.kind, ArmKind::kPermuted);
  const Names outside = parts_of(ablation_arms(tiny_vector().only("!layer=0-"), {}));
  EXPECT_EQ(outside, Names{"outside the layers"});
}

// An arm that cannot be made would end a run that is hours old.
TEST(AblationArms, LayersOfOtherTensorsHaveNoOtherOrder) {
  const auto permuted = [](const TaskVector& vector) {
    const std::vector<Arm> arms = ablation_arms(vector, {});
    return std::any_of(arms.begin(), arms.end(),
                       [](const Arm& arm) { return arm.kind == ArmKind::kPermuted; });
  };
  EXPECT_TRUE(permuted(tiny_vector()));
  EXPECT_TRUE(permuted(tiny_vector().only("layer=0,2 & block=mlp")));
  EXPECT_FALSE(permuted(tiny_vector().only("layer=0 | module=q_proj")));
  EXPECT_FALSE(permuted(tiny_vector().only("!(layer=1 & module=q_proj)")));
  StateDict uneven;
  uneven.set("model.layers.0.w.weight", at::ones({2}));
  uneven.set("model.layers.1.w.weight", at::ones({3}));
  EXPECT_FALSE(permuted(TaskVector::from(uneven)));
}

TEST(AblationArms, CountsSeedsUpFromTheFirst) {
  AblationPlan plan;
  plan.controls.random_seeds = 2;
  plan.controls.permutations = 3;
  plan.controls.first_seed = 40;
  const std::vector<Arm> arms = ablation_arms(tiny_vector(), plan);
  for (const char* name : {"random seed=40", "random seed=41", "permuted seed=40",
                           "permuted seed=41", "permuted seed=42"})
    EXPECT_EQ(find(arms, name).seed.value(),
              static_cast<std::uint64_t>(name[std::string(name).size() - 1] - '0' + 40));
}

TEST(AblationArms, LeavesReferencesOutThatNothingIsComparedWith) {
  AblationPlan plan;
  plan.controls.enabled = false;
  EXPECT_EQ(names_of(ablation_arms(tiny_vector(1), plan)),
            (Names{"vector", "without layer=0", "without outside the layers"}));
  plan.designs = {AblationDesign::kOnlyOne};
  EXPECT_EQ(names_of(ablation_arms(tiny_vector(1), plan)),
            (Names{"target", "only layer=0", "only outside the layers"}));
  plan.designs = {AblationDesign::kOnlyOne, AblationDesign::kLeaveOneOut};
  const std::vector<Arm> both = ablation_arms(tiny_vector(1), plan);
  EXPECT_EQ(both.size(), 6u);
  expect_sound(both);
}

TEST(AblationArms, AddsSelectionsWithAFamilyOfTheirOwn) {
  AblationPlan plan;
  plan.designs.clear();
  plan.scale = 0.5;
  plan.selections = {Selection::parse("layer=0 & block=mlp"), Selection::parse("module=q_proj")};
  const std::vector<Arm> arms = ablation_arms(tiny_vector(), plan);
  const Arm& arm = find(arms, "selection layer=0 & block=mlp");
  EXPECT_EQ(arm.kind, ArmKind::kSelection);
  EXPECT_EQ(arm.family, "selections");
  EXPECT_EQ(arm.reference, "target");
  EXPECT_EQ(arm.scale, 0.5);
  EXPECT_EQ(reached(tiny_vector(), arm).size(), 3u);
  EXPECT_EQ(find(arms, "negated").scale, -0.5);
  expect_sound(arms);
}

// Names come from files: a part must select what it names, however odd that is.
TEST(AblationArms, TakesModulesOfHostileNamesApart) {
  const Names hostile{"a b",   "it's", "say \"x\"", "both ' and \"", "one,two",      "one", "(x",
                      "x)|!y", "",     "*",         "tab\tor\nline", "\xE2\x82\xAC", "\\",  "all",
                      "x=y",   "#"};
  Names names;
  for (const std::string& module : hostile) names.push_back("model.layers.0." + module + ".weight");
  const TaskVector vector = vector_with(names);
  for (const auto design : {AblationDesign::kOnlyOne, AblationDesign::kLeaveOneOut}) {
    AblationPlan plan = plan_of(design, AblationUnit::kModule);
    std::vector<Arm> arms = ablation_arms(vector, plan);
    expect_sound(arms);
    std::erase_if(arms, [](const Arm& arm) { return arm.part.empty(); });
    ASSERT_EQ(arms.size(), hostile.size());
    for (std::size_t i = 0; i < arms.size(); ++i) {
      for (std::size_t j = 0; j < names.size(); ++j)
        EXPECT_EQ(arms[i].selection.matches(names[j]),
                  (i == j) == (design == AblationDesign::kOnlyOne))
            << arms[i].name << " on " << names[j];
    }
  }
}

TEST(AblationArms, RefusesWhatLeavesNothingToCompare) {
  AblationPlan nothing;
  nothing.designs.clear();
  nothing.controls.enabled = false;
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { ablation_arms(tiny_vector(), nothing); }),
                    "nothing to compare"));
  AblationPlan cumulative = plan_of(AblationDesign::kBottomUp);
  cumulative.controls.enabled = false;
  EXPECT_TRUE(holds(
      thrown_by<UsageError>([&] { ablation_arms(tiny_vector().only("!layer=0-"), cumulative); }),
      "nothing to compare"));
  EXPECT_TRUE(
      holds(thrown_by<UsageError>([] { ablation_arms(TaskVector(), {}); }), "without a tensor"));
}

TEST(AblationArms, RefusesScalesThatAreNone) {
  for (const double scale : {0.0, -0.0, std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN()}) {
    AblationPlan plan;
    plan.scale = scale;
    EXPECT_TRUE(holds(thrown_by<UsageError>([&] { ablation_arms(tiny_vector(), plan); }), "scale"));
  }
}

TEST(AblationArms, RefusesWhatIsNamedTwiceOrSelectsNothing) {
  AblationPlan twice;
  twice.designs = {AblationDesign::kOnlyOne, AblationDesign::kOnlyOne};
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { ablation_arms(tiny_vector(), twice); }),
                    "'only layer=0' twice"));
  twice = {};
  twice.selections = {Selection::parse("layer=0"), Selection::parse("layer=0")};
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { ablation_arms(tiny_vector(), twice); }), "twice"));
  AblationPlan beyond;
  beyond.selections = {Selection::parse("layer=9")};
  EXPECT_TRUE(
      holds(thrown_by<UsageError>([&] { ablation_arms(tiny_vector(), beyond); }), "layer 9"));
}

TEST(SweepArms, HasTheTargetEachScaleAndControlsOfTheLargest) {
  ControlOptions controls;
  controls.random_seeds = 1;
  const std::vector<Arm> arms = sweep_arms(tiny_vector(), {0.5, 1.5, 0, 1e-3}, controls);
  EXPECT_EQ(names_of(arms), (Names{"target", "scale=0.5", "scale=1.5", "scale=0.001", "negated",
                                   "random seed=0", "permuted seed=0"}));
  expect_sound(arms);
  EXPECT_EQ(find(arms, "scale=0.5").family, "scales");
  EXPECT_EQ(find(arms, "scale=0.5").reference, "target");
  EXPECT_EQ(find(arms, "negated").scale, -1.5);
  EXPECT_EQ(find(arms, "random seed=0").scale, 1.5);
  EXPECT_EQ(find(arms, "permuted seed=0").reference, "target");
}

TEST(SweepArms, HasNoOppositeThatIsAmongTheScales) {
  const std::vector<Arm> arms = sweep_arms(tiny_vector(), {-2, 1, 2}, {});
  for (const Arm& arm : arms) EXPECT_NE(arm.kind, ArmKind::kNegated);
  EXPECT_EQ(find(arms, "random seed=0").scale, -2);
  EXPECT_EQ(find(sweep_arms(tiny_vector(), {-2, 1}, {}), "negated").scale, 2);
}

TEST(SweepArms, RefusesNoScaleAndOneTwice) {
  const TaskVector vector = tiny_vector();
  EXPECT_THROW(sweep_arms(vector, {}, {}), UsageError);
  EXPECT_THROW(sweep_arms(vector, {0}, {}), UsageError);
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] {
                      sweep_arms(vector, {1, 0.5, 1.0}, {});
                    }),
                    "twice"));
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { sweep_arms(vector, {1, 0, -0.0}, {}); }), "twice"));
  EXPECT_THROW(sweep_arms(vector, {std::numeric_limits<double>::infinity()}, {}), UsageError);
}

TEST(NameOf, IsAWordOfItsOwnForEachKind) {
  std::set<std::string> words;
  for (int kind = 0; kind <= static_cast<int>(ArmKind::kSelection); ++kind)
    EXPECT_TRUE(words.insert(name_of(static_cast<ArmKind>(kind))).second);
  EXPECT_STREQ(name_of(ArmKind::kBottomUp), "bottom-up");
  EXPECT_STREQ(name_of(ArmKind::kSelection), "selection");
}

}  // namespace
}  // namespace suture
