#include "suture/control_vector.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/site.h"
#include "suture/surgery.h"

#include "support/model_trio.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::same_bits;
using test::thrown_by;

class ControlVector : public test::ModelTrio {
 protected:
  TaskVector skill() const { return open("tuned") - open("base"); }

  void write_in(at::ScalarType dtype, std::uint64_t max_shard_bytes = 5'000'000'000) {
    model_.dtype = dtype;
    model_.tied = false;
    make(model_);
    std::filesystem::remove_all(dir_ / "base");
    std::filesystem::remove_all(dir_ / "tuned");
    std::filesystem::remove_all(dir_ / "target");
    write_all(max_shard_bytes);
  }

  // Every tensor's norm is the vector's, as nearly as float32 can be.
  static void expect_matched_norms(const TaskVector& random, const TaskVector& vector) {
    const LayerMeasure found = random.norms(), expected = vector.norms();
    ASSERT_EQ(found.tensors.size(), expected.tensors.size());
    for (std::size_t i = 0; i < found.tensors.size(); ++i) {
      EXPECT_EQ(found.tensors[i].name, expected.tensors[i].name);
      EXPECT_NEAR(found.tensors[i].value, expected.tensors[i].value,
                  1e-6 * expected.tensors[i].value)
          << found.tensors[i].name;
    }
  }
};

using NormMatchedRandom = ControlVector;
using WithLayerOrder = ControlVector;

TEST_F(NormMatchedRandom, HasEachTensorsNormForEveryDtype) {
  for (const auto dtype : {at::kBFloat16, at::kHalf, at::kFloat, at::kDouble}) {
    write_in(dtype);
    expect_matched_norms(norm_matched_random(skill(), 3), skill());
    for (const auto& [name, tensor] : norm_matched_random(skill(), 3).materialize()) {
      EXPECT_EQ(tensor.scalar_type(), at::kFloat);
      EXPECT_EQ(tensor.sizes(), base_.at(name).sizes());
      EXPECT_TRUE(tensor.isfinite().all().item<bool>());
    }
  }
}

TEST_F(NormMatchedRandom, HasTheNormOfWhatIsScaledMaskedAndAdded) {
  write_in(at::kFloat);
  const TaskVector vector = -3 * skill().only("layer=1") + 0.5 * (open("target") - open("base"));
  expect_matched_norms(norm_matched_random(vector, 1), vector);
  const TaskVector some = skill().only("layer=0,2 & block=mlp");
  const TaskVector random = norm_matched_random(some, 1);
  EXPECT_EQ(random.names(), some.names());
  expect_matched_norms(random, some);
}

TEST_F(NormMatchedRandom, KnowsNoOtherTensorsWhenOneIsAlone) {
  write_in(at::kFloat);
  EXPECT_TRUE(same_bits(norm_matched_random(skill().only("layer=1"), 4).materialize(),
                        norm_matched_random(skill(), 4).only("layer=1").materialize()));
}

TEST_F(NormMatchedRandom, DependsOnNeitherThreadsNorMemoryNorShards) {
  model_.hidden = 64;
  model_.intermediate = 200;
  model_.vocab = 700;  // several tiles
  write_in(at::kBFloat16);
  const StateDict expected = norm_matched_random(skill(), 9).materialize();
  for (const unsigned threads : {1u, 2u, 5u}) {
    for (const std::uint64_t budget : {std::uint64_t{1}, std::uint64_t{1} << 20}) {
      RunOptions options;
      options.threads = threads;
      options.memory_budget_bytes = budget;
      EXPECT_TRUE(same_bits(norm_matched_random(skill(), 9, options).materialize(at::kCPU, options),
                            expected));
    }
  }
  write_in(at::kBFloat16, 20000);
  EXPECT_TRUE(same_bits(norm_matched_random(skill(), 9).materialize(), expected));
}

TEST_F(NormMatchedRandom, IsAnotherForEachSeedAndNearlyAtRightAngles) {
  model_.vocab = 2000;
  write_in(at::kFloat);
  std::vector<TaskVector> vectors{skill()};
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}})
    vectors.push_back(norm_matched_random(skill(), seed));
  for (std::size_t i = 0; i < vectors.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      EXPECT_NEAR(vectors[i].cosine(vectors[j]), 0, 0.03) << i << " " << j;
  EXPECT_TRUE(same_bits(vectors[2].materialize(), norm_matched_random(skill(), 1).materialize()));
}

// Tensors of one shape are not the same numbers.
TEST_F(NormMatchedRandom, IsAnotherInEachTensor) {
  write_in(at::kFloat);
  const StateDict made = norm_matched_random(skill(), 0).materialize();
  std::vector<at::Tensor> seen;
  for (const auto& [name, tensor] : made) {
    const at::Tensor direction = tensor.flatten().narrow(0, 0, 8) / tensor.flatten().norm();
    for (const at::Tensor& other : seen) EXPECT_FALSE(at::allclose(direction, other)) << name;
    seen.push_back(direction);
  }
}

TEST_F(NormMatchedRandom, IsZeroWhereTheVectorIs) {
  tuned_.set("model.norm.weight", base_.at("model.norm.weight"));
  set_in_all("empty", at::zeros({0, 4}));
  write_all();
  const StateDict made = norm_matched_random(skill(), 0).materialize();
  EXPECT_EQ(made.at("model.norm.weight").count_nonzero().item<std::int64_t>(), 0);
  EXPECT_EQ(made.at("empty").sizes(), at::IntArrayRef({0, 4}));
  EXPECT_TRUE(norm_matched_random(TaskVector(), 0).names().empty());
}

TEST_F(NormMatchedRandom, InjectsWhatItAppliesAndMaterialises) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    write_in(dtype);
    const TaskVector vector = 0.7 * norm_matched_random(skill(), 2);
    std::filesystem::remove_all(dir_ / "out");
    inject(open("target"), vector, path("out"));
    StateDict applied = load(path("target"));
    vector.apply_to(applied);
    EXPECT_TRUE(same_bits(load(path("out")), applied));
    StateDict summed = load(path("target"));
    (0.7 * TaskVector::from(norm_matched_random(skill(), 2).materialize())).apply_to(summed);
    EXPECT_TRUE(same_bits(applied, summed));
  }
}

TEST_F(NormMatchedRandom, CanBeCancelled) {
  write_all();
  const std::atomic<bool> cancel{true};
  RunOptions options;
  options.cancel = &cancel;
  EXPECT_THROW(norm_matched_random(skill(), 0, options), Interrupted);
}

// --- Layers in another order -------------------------------------------------------------------

std::string with_layer(const std::string& name, std::size_t layer) {
  const std::size_t at = name.find("layers.");
  return name.substr(0, at + 7) + std::to_string(layer) + name.substr(name.find('.', at + 7));
}

TEST_F(WithLayerOrder, PutsEachLayersPartWhereTheOrderSays) {
  model_.layers = 12;
  for (const auto dtype : {at::kBFloat16, at::kFloat, at::kDouble}) {
    write_in(dtype);
    std::vector<std::size_t> order(12);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(4));
    const StateDict own = skill().materialize();
    const TaskVector vector = with_layer_order(skill(), order);
    const StateDict moved = vector.materialize();
    ASSERT_EQ(moved.size(), own.size());
    for (const auto& [name, tensor] : moved) {
      const auto layer = site_of(name).layer;
      const std::string from =
          layer ? with_layer(name, order[static_cast<std::size_t>(*layer)]) : name;
      EXPECT_TRUE(same_bits(tensor, own.at(from))) << name;
    }
    EXPECT_NEAR(vector.norm(), skill().norm(), 1e-12 * skill().norm());
    const std::vector<double> norms = skill().norms().layers, found = vector.norms().layers;
    for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(found[i], norms[order[i]]);
    inject(open("target"), vector, path("out" + std::to_string(static_cast<int>(dtype))));
    StateDict applied = load(path("target"));
    vector.apply_to(applied);
    EXPECT_TRUE(same_bits(load(path("out" + std::to_string(static_cast<int>(dtype)))), applied));
  }
}

TEST_F(WithLayerOrder, TakesTheMaskOfWhereItComesFrom) {
  write_in(at::kFloat);
  const TaskVector vector = 2 * skill().only("layer=0") + skill().only("layer=2") -
                            (open("target") - open("base")).only("layer=0,2");
  const StateDict own = vector.materialize();
  const StateDict moved = with_layer_order(vector, {2, 1, 0}).materialize();
  for (const auto& [name, tensor] : moved)
    EXPECT_TRUE(same_bits(
        tensor, own.at(with_layer(name, static_cast<std::size_t>(2 - *site_of(name).layer)))));
  EXPECT_TRUE(same_bits(with_layer_order(vector, {0, 1, 2}).materialize(), own));
  EXPECT_TRUE(same_bits(with_layer_order(vector, {}).materialize(), own));
}

TEST_F(WithLayerOrder, LeavesLayersBeyondTheOrder) {
  write_in(at::kFloat);
  const StateDict own = skill().materialize();
  const StateDict moved = with_layer_order(skill(), {1, 0}).materialize();
  for (const auto& [name, tensor] : moved) {
    const int layer = site_of(name).layer.value_or(-1);
    EXPECT_TRUE(same_bits(tensor, layer == 0   ? own.at(with_layer(name, 1))
                                  : layer == 1 ? own.at(with_layer(name, 0))
                                               : own.at(name)));
  }
}

TEST_F(WithLayerOrder, RefusesWhatIsNoPermutation) {
  write_all();
  for (const std::vector<std::size_t>& order :
       {std::vector<std::size_t>{0, 0, 1}, {1, 2, 3}, {3, 1, 0}, {1}})
    EXPECT_TRUE(
        holds(thrown_by<UsageError>([&] { with_layer_order(skill(), order); }), "permutation"));
}

TEST_F(WithLayerOrder, RefusesLayersOfOtherShapesOrOtherTensors) {
  set_in_all("model.layers.1.mlp.up_proj.weight", at::zeros({3, 4}));
  write_all();
  const std::string shape = thrown_by<UsageError>([&] { with_layer_order(skill(), {1, 0, 2}); });
  EXPECT_TRUE(holds(shape, "up_proj"));
  EXPECT_NO_THROW(with_layer_order(skill(), {2, 1, 0}));
  const std::string missing = thrown_by<UsageError>([&] {
    with_layer_order(skill().only("layer=0 | module=q_proj"), {2, 1, 0});
  });
  EXPECT_TRUE(holds(missing, "counterpart"));
}

TEST(DrawOrder, MovesAllThatMoveAndNoOther) {
  std::mt19937 random(1);
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const std::size_t count = random() % 30;
    std::vector<std::size_t> moves;
    for (std::size_t i = 0; i < count; ++i)
      if (random() % 3 != 0) moves.push_back(i);
    const std::vector<std::size_t> order = draw_order(count, moves, seed);
    EXPECT_EQ(order, draw_order(count, moves, seed));
    EXPECT_EQ(std::set<std::size_t>(order.begin(), order.end()).size(), count);
    ASSERT_EQ(order.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      const bool moved = std::count(moves.begin(), moves.end(), i) > 0 && moves.size() > 1;
      EXPECT_EQ(order[i] != i, moved) << i;
      EXPECT_LT(order[i], count);
    }
  }
}

// All cycles of four things, each about as often.
TEST(DrawOrder, DrawsEveryCycleAlike) {
  std::map<std::vector<std::size_t>, int> seen;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) ++seen[draw_order(4, {0, 1, 2, 3}, seed)];
  EXPECT_EQ(seen.size(), 6u);
  for (const auto& [order, times] : seen) EXPECT_NEAR(times, 1000, 150);
}

}  // namespace
}  // namespace suture
