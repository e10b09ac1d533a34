#include "ablation/arm_weights.h"

#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/control_vector.h"
#include "suture/error.h"

#include "support/tensor_bytes.h"
#include "support/tiny_model.h"

namespace suture::ablation {
namespace {

using test::same_bits;

class ArmWeights : public testing::Test {
 protected:
  static constexpr std::size_t kLayers = 3;

  ArmWeights() : model_(), deltas_() {
    model_.tied = false;
    model_.dtype = at::kFloat;
    deltas_ = test::make_weights(model_, 4);
    vector_ = TaskVector::from(deltas_);
  }

  static Arm arm(ArmKind kind, const std::string& selection = "all", double scale = 1) {
    Arm made;
    made.name = "arm";
    made.kind = kind;
    made.selection = Selection::parse(selection);
    made.scale = scale;
    if (kind == ArmKind::kRandom || kind == ArmKind::kPermuted) made.seed = 5;
    return made;
  }

  StageWeights stages(const Arm& of) const { return stage_weights(of, vector_.names(), kLayers); }

  StateDict made(const Arm& of) const { return vector_of(of, vector_, {}).materialize(); }

  // Stages in which two arms differ.
  std::set<std::size_t> differing(const Arm& a, const Arm& b) const {
    const StageWeights x = stages(a), y = stages(b);
    std::set<std::size_t> found;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (x[i] != y[i]) found.insert(i);
    return found;
  }

  test::TinyModel model_;
  StateDict deltas_;
  TaskVector vector_;
};

using Stages = std::set<std::size_t>;

TEST_F(ArmWeights, OfTheTargetAreNothing) {
  EXPECT_TRUE(vector_of(arm(ArmKind::kTarget), vector_, {}).names().empty());
  EXPECT_EQ(stages(arm(ArmKind::kTarget)), StageWeights(kLayers + 2));
  EXPECT_EQ(stages(arm(ArmKind::kVector, "all", 0)), StageWeights(kLayers + 2));
  EXPECT_TRUE(vector_of(arm(ArmKind::kVector, "all", 0), vector_, {}).names().empty());
}

TEST_F(ArmWeights, AreTheVectorAtItsScaleWhereItIsSelected) {
  EXPECT_TRUE(same_bits(made(arm(ArmKind::kVector)), vector_.materialize()));
  EXPECT_TRUE(same_bits(made(arm(ArmKind::kNegated, "all", -0.5)), (-0.5 * vector_).materialize()));
  EXPECT_TRUE(same_bits(made(arm(ArmKind::kOnly, "layer=1", 2)),
                        (2 * vector_.only("layer=1")).materialize()));
}

TEST_F(ArmWeights, OfControlsAreDrawnWithTheSeed) {
  EXPECT_TRUE(same_bits(made(arm(ArmKind::kRandom, "all", 2)),
                        (2 * norm_matched_random(vector_, 5)).materialize()));
  EXPECT_TRUE(same_bits(made(arm(ArmKind::kPermuted)),
                        with_layer_order(vector_, draw_order(3, {0, 1, 2}, 5)).materialize()));
}

// The stages say which weights are the target's; the vector must agree for every kind.
TEST_F(ArmWeights, AreWhereTheStagesSayForEveryKind) {
  for (const ArmKind kind :
       {ArmKind::kVector, ArmKind::kRandom, ArmKind::kPermuted, ArmKind::kOnly}) {
    const StateDict found = made(arm(kind, "layer=1 | block=head"));
    for (const auto& [name, tensor] : found)
      EXPECT_TRUE(name.find("layers.1.") != std::string::npos || name == "lm_head.weight")
          << name_of(kind) << " " << name;
    EXPECT_EQ(differing(arm(kind, "layer=1 | block=head"), arm(ArmKind::kTarget)), (Stages{2, 4}));
  }
}

TEST_F(ArmWeights, PermuteOnlyLayersThatTheVectorReaches) {
  const TaskVector some = vector_.only("layer=0,2 | block=embedding");
  const StateDict found = vector_of(arm(ArmKind::kPermuted), some, {}).materialize();
  EXPECT_EQ(found.size(), some.names().size());
  for (const auto& [name, tensor] : found) {
    std::string from = name;
    const std::size_t at = name.find("layers.");
    if (at != std::string::npos) from[at + 7] = name[at + 7] == '0' ? '2' : '0';
    EXPECT_TRUE(same_bits(tensor, deltas_.at(from))) << name;
  }
}

TEST_F(ArmWeights, StandInTheStageOfTheirTensors) {
  const Arm whole = arm(ArmKind::kVector);
  EXPECT_EQ(differing(whole, arm(ArmKind::kWithout, "!layer=0")), Stages{1});
  EXPECT_EQ(differing(whole, arm(ArmKind::kWithout, "!layer=2")), Stages{3});
  EXPECT_EQ(differing(whole, arm(ArmKind::kWithout, "!block=embedding")), Stages{0});
  EXPECT_EQ(differing(whole, arm(ArmKind::kWithout, "!block=head")), Stages{4});
  EXPECT_EQ(differing(whole, arm(ArmKind::kWithout, "!name=model.norm.weight")), Stages{4});
  EXPECT_EQ(differing(whole, arm(ArmKind::kWithout, "!layer=0-")), (Stages{1, 2, 3}));
  EXPECT_EQ(differing(whole, arm(ArmKind::kWithout, "!module=q_proj")), (Stages{1, 2, 3}));
  EXPECT_EQ(differing(whole, arm(ArmKind::kWithout, "!(module=up_proj & layer=1)")), Stages{2});
}

TEST_F(ArmWeights, AreEqualExactlyWhereTheTextIs) {
  EXPECT_EQ(stages(arm(ArmKind::kOnly, "layer=0")), stages(arm(ArmKind::kBottomUp, "layer=0-0")));
  EXPECT_EQ(stages(arm(ArmKind::kOnly, "all")), stages(arm(ArmKind::kVector)));
  const Stages all{0, 1, 2, 3, 4};
  EXPECT_EQ(differing(arm(ArmKind::kVector), arm(ArmKind::kVector, "all", 1 + 1e-15)), all);
  EXPECT_EQ(differing(arm(ArmKind::kVector), arm(ArmKind::kRandom)), all);
  EXPECT_EQ(differing(arm(ArmKind::kVector), arm(ArmKind::kPermuted)), all);
  EXPECT_EQ(differing(arm(ArmKind::kRandom), arm(ArmKind::kPermuted)), all);
  Arm other = arm(ArmKind::kRandom);
  other.seed = 6;
  EXPECT_EQ(differing(arm(ArmKind::kRandom), other), all);
}

// A vector may name more layers than the model has.
TEST_F(ArmWeights, BeyondTheModelCountToTheLastLayer) {
  const StageWeights found = stage_weights(arm(ArmKind::kVector), {"model.layers.9.x.weight"}, 3);
  ASSERT_EQ(found.size(), 5u);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].empty(), i != 3);
}

}  // namespace
}  // namespace suture::ablation
