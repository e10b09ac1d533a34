#include "ablation/arm_order.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace suture::ablation {
namespace {

// Arms of `layers` layers, each stage one letter: what is equal is the same weights.
StageWeights stages(const std::string& letters) {
  StageWeights weights;
  for (const char letter : letters) weights.emplace_back(1, letter);
  return weights;
}

// Leaves each layer of the vector out, as an ablation does.
std::vector<StageWeights> without_each(std::size_t layers) {
  std::vector<StageWeights> arms;
  for (std::size_t i = 1; i <= layers; ++i) {
    arms.push_back(stages(std::string(layers + 2, 'v')));
    arms.back()[i] = "";
  }
  return arms;
}

std::vector<StageWeights> only_each(std::size_t layers) {
  std::vector<StageWeights> arms;
  for (std::size_t i = 1; i <= layers; ++i) {
    arms.push_back(StageWeights(layers + 2));
    arms.back()[i] = "v";
  }
  return arms;
}

std::vector<StageWeights> cumulative(std::size_t layers, bool is_up) {
  std::vector<StageWeights> arms;
  for (std::size_t i = 1; i <= layers; ++i) {
    arms.push_back(StageWeights(layers + 2));
    for (std::size_t stage = 0; stage < layers + 2; ++stage)
      if (is_up ? stage <= i : stage >= i) arms.back()[stage] = "v";
  }
  return arms;
}

std::vector<StageWeights> random_arms(std::mt19937& random) {
  const std::size_t layers = random() % 8, count = 1 + random() % 20, letters = 1 + random() % 3;
  std::vector<StageWeights> arms;
  for (std::size_t i = 0; i < count; ++i) {
    // Often a copy with some stages changed: long common trunks.
    StageWeights arm =
        arms.empty() || random() % 3 == 0 ? StageWeights(layers + 2) : arms[random() % arms.size()];
    for (std::size_t changes = random() % 3; changes > 0; --changes)
      arm[random() % arm.size()] = std::string(1, static_cast<char>('a' + random() % letters));
    arms.push_back(arm);
  }
  return arms;
}

// What a memo holds: for each layer, of which arm its inputs are.
void expect_that_turns_hold_what_they_resume(const std::vector<StageWeights>& arms,
                                             const std::vector<ArmTurn>& turns) {
  std::vector<std::pair<std::size_t, std::size_t>> held;  // layer, arm; upwards
  for (const ArmTurn& turn : turns) {
    while (!held.empty() && held.back().first > turn.resume) held.pop_back();
    if (turn.resume > 0) {
      ASSERT_FALSE(held.empty());
      ASSERT_EQ(held.back().first, turn.resume) << "was given up or never kept";
      const StageWeights &now = arms[turn.arm], &then = arms[held.back().second];
      for (std::size_t stage = 0; stage <= turn.resume; ++stage)
        ASSERT_EQ(now[stage], then[stage]) << "stage " << stage;
    }
    for (const auto& [layer, arm] : held)
      for (std::size_t stage = 0; stage <= layer; ++stage)
        ASSERT_EQ(arms[arm][stage], arms[turn.arm][stage]) << "what is held lower down is stale";
    if (turn.last_use) {
      ASSERT_GT(turn.resume, 0u);
      held.pop_back();
    }
    if (turn.keep == 0) continue;
    ASSERT_GT(turn.keep, turn.resume);
    ASSERT_LE(turn.keep, arms.front().size() - 2);
    held.emplace_back(turn.keep, turn.arm);
  }
}

void expect_that_nothing_is_kept_in_vain(const std::vector<ArmTurn>& turns) {
  std::vector<std::pair<std::size_t, std::size_t>> held;  // layer, uses
  for (std::size_t i = 0; i < turns.size(); ++i) {
    while (!held.empty() && held.back().first > turns[i].resume) {
      EXPECT_GT(held.back().second, 0u) << "kept and never used";
      held.pop_back();
    }
    if (turns[i].resume > 0) ++held.back().second;
    if (turns[i].last_use) held.pop_back();
    if (turns[i].keep > 0) held.emplace_back(turns[i].keep, 0);
  }
  for (const auto& [layer, uses] : held) EXPECT_GT(uses, 0u) << "kept and never used";
  EXPECT_TRUE(held.empty()) << "held to the end although nothing comes behind";
}

double cost(const std::vector<StageWeights>& arms) {
  return layers_computed(plan_turns(arms, order_arms(arms)), arms.front().size() - 2);
}

TEST(SharedLayers, CountsFromTheEmbeddingUp) {
  EXPECT_EQ(shared_layers(stages("abcd"), stages("abcd")), 2u);
  EXPECT_EQ(shared_layers(stages("abcd"), stages("abcx")), 2u);
  EXPECT_EQ(shared_layers(stages("abcd"), stages("abxd")), 1u);
  EXPECT_EQ(shared_layers(stages("abcd"), stages("axcd")), 0u);
  EXPECT_EQ(shared_layers(stages("abcd"), stages("xbcd")), 0u);
}

TEST(OrderArms, GivesEverySetOfWeightsOneTurn) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    const std::vector<StageWeights> arms = random_arms(random);
    const std::vector<std::size_t> order = order_arms(arms);
    const std::set<StageWeights> distinct(arms.begin(), arms.end());
    std::set<StageWeights> seen;
    for (const std::size_t arm : order) {
      EXPECT_TRUE(seen.insert(arms[arm]).second);
      EXPECT_EQ(std::find(arms.begin(), arms.end(), arms[arm]) - arms.begin(),
                static_cast<std::ptrdiff_t>(arm))
          << "not the first with these weights";
    }
    EXPECT_EQ(seen, distinct);
  }
}

TEST(OrderArms, OfNothingIsNothing) {
  EXPECT_TRUE(order_arms({}).empty());
  EXPECT_TRUE(plan_turns({}, {}).empty());
}

TEST(PlanTurns, ResumesFromWhatWasKeptWithTheSameLowerWeights) {
  std::mt19937 random(2);
  for (int round = 0; round < 1000; ++round) {
    const std::vector<StageWeights> arms = random_arms(random);
    std::vector<std::size_t> order = order_arms(arms);
    expect_that_turns_hold_what_they_resume(arms, plan_turns(arms, order));
    expect_that_nothing_is_kept_in_vain(plan_turns(arms, order));
    // A run that is gone on with lacks some; any order must be sound.
    order.resize(random() % (order.size() + 1));
    std::shuffle(order.begin(), order.end(), random);
    expect_that_turns_hold_what_they_resume(arms, plan_turns(arms, order));
    if (testing::Test::HasFailure()) return;
  }
}

TEST(LayersComputed, IsHalfForDesignsThatGoLayerByLayer) {
  for (const std::size_t layers : {1, 2, 3, 12, 24, 28, 48}) {
    const auto bound = 0.56 * static_cast<double>(layers) + 1;
    EXPECT_LE(cost(without_each(layers)), bound) << layers;
    EXPECT_LE(cost(only_each(layers)), bound) << layers;
    EXPECT_LE(cost(cumulative(layers, true)), bound) << layers;
    EXPECT_LE(cost(cumulative(layers, false)), bound) << layers;
  }
}

TEST(LayersComputed, OfBothDesignsAndTheReferencesStaysNearTheirSum) {
  std::vector<StageWeights> arms = without_each(24);
  for (const StageWeights& arm : only_each(24)) arms.push_back(arm);
  arms.push_back(StageWeights(26));
  arms.push_back(stages(std::string(26, 'v')));
  EXPECT_LE(cost(arms), 2 * 0.56 * 24 + 2);
}

TEST(LayersComputed, CountsEverythingWhereNothingIsShared) {
  std::vector<StageWeights> arms;
  for (const char letter : {'a', 'b', 'c'}) arms.push_back(stages(std::string(6, letter)));
  EXPECT_EQ(cost(arms), 3.0);
  EXPECT_EQ(layers_computed({}, 0), 0.0);
}

}  // namespace
}  // namespace suture::ablation
