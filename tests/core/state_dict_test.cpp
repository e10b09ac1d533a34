#include "suture/state_dict.h"

#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/nn/module.h>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::thrown_by;

std::vector<std::string> names_of(const StateDict& weights) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : weights) names.push_back(name);
  return names;
}

// A linear layer with a running mean, in a block, in a model.
struct Layer : torch::nn::Module {
  at::Tensor weight, bias, mean;
  Layer() {
    weight = register_parameter("weight", at::zeros({2, 3}));
    bias = register_parameter("bias", at::zeros({2}));
    mean = register_buffer("mean", at::zeros({2}));
  }
};
struct Model : torch::nn::Module {
  std::shared_ptr<Layer> first = register_module("first", std::make_shared<Layer>());
  std::shared_ptr<Layer> second = register_module("second", std::make_shared<Layer>());
};

StateDict numbered(const StateDict& like) {
  StateDict weights;
  float next = 1;
  for (const auto& [name, tensor] : like) {
    weights.set(name, at::full(tensor.sizes(), next, at::kFloat));
    next += 1;
  }
  return weights;
}

TEST(StateDict, KeepsTheOrderOfSettingAndReplacesInPlace) {
  StateDict weights;
  weights.set("b", at::zeros({1}));
  weights.set("a", at::ones({1}));
  weights.set("b", at::full({2}, 5.f));
  EXPECT_EQ(names_of(weights), (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(weights.size(), 2u);
  EXPECT_EQ(weights.at("b").numel(), 2);
  EXPECT_TRUE(weights.contains("a"));
  EXPECT_FALSE(weights.contains("c"));
  EXPECT_EQ(weights.find("c"), nullptr);
  EXPECT_FALSE(weights.empty());
  EXPECT_TRUE(StateDict().empty());
}

TEST(StateDict, SuggestsNearNamesForAWrongOne) {
  StateDict weights;
  weights.set("lm_head.weight", at::zeros({1}));
  const std::string message = thrown_by<UsageError>([&] { (void)weights.at("lm_head.weigth"); });
  EXPECT_TRUE(holds(message, "did you mean 'lm_head.weight'?"));
}

TEST(StateDict, CopiesShareTensorsAndClonesDoNot) {
  StateDict weights;
  weights.set("w", at::zeros({1}));
  const StateDict shared = weights, on_cpu = weights.to(at::kCPU), own = weights.clone();
  weights.at("w").fill_(3);
  EXPECT_EQ(shared.at("w").item<float>(), 3);
  EXPECT_EQ(on_cpu.at("w").item<float>(), 3);
  EXPECT_EQ(own.at("w").item<float>(), 0);
}

TEST(StateDictOf, AModuleNamesParametersAndBuffersAndSharesThem) {
  Model model;
  const StateDict weights = state_dict_of(model);
  EXPECT_EQ(weights.size(), 6u);
  for (const char* name : {"first.weight", "first.bias", "first.mean", "second.weight"})
    EXPECT_TRUE(weights.contains(name)) << name;
  model.second->mean.fill_(4);
  EXPECT_EQ(weights.at("second.mean")[0].item<float>(), 4);
}

TEST(LoadInto, CopiesEveryTensorByName) {
  Model model;
  const StateDict weights = numbered(state_dict_of(model));
  const KeyReport report = load_into(model, weights);
  EXPECT_TRUE(report.missing.empty() && report.unexpected.empty());
  for (const auto& [name, tensor] : state_dict_of(model))
    EXPECT_TRUE(at::equal(tensor, weights.at(name))) << name;
  EXPECT_TRUE(model.first->weight.requires_grad());
}

TEST(LoadInto, ConvertsToTheModulesDtype) {
  Model model;
  model.to(at::kBFloat16);
  StateDict weights = numbered(state_dict_of(model));
  weights.set("first.bias", at::full({2}, 1.00390625f));  // a tie in bf16
  load_into(model, weights);
  EXPECT_EQ(model.first->bias.scalar_type(), at::kBFloat16);
  EXPECT_EQ(model.first->bias[0].item<float>(), 1.f);
}

TEST(LoadInto, StrictListsEveryMissingAndUnexpectedNameAndCopiesNothing) {
  Model model;
  StateDict weights;
  weights.set("first.weight", at::ones({2, 3}));
  weights.set("third.weight", at::ones({2, 3}));
  weights.set("third.bias", at::ones({2}));
  const std::string message = thrown_by<CompatibilityError>([&] { load_into(model, weights); });
  for (const char* part : {"5 missing", "first.bias", "first.mean", "second.weight", "second.bias",
                           "second.mean", "2 unexpected", "third.weight", "third.bias"}) {
    EXPECT_TRUE(holds(message, part));
  }
  EXPECT_EQ(model.first->weight.sum().item<float>(), 0);
}

TEST(LoadInto, LooseCopiesWhatItCanAndReportsTheRestInOrder) {
  Model model;
  StateDict weights;
  weights.set("x.b", at::ones({2}));
  weights.set("first.weight", at::ones({2, 3}));
  weights.set("x.a", at::ones({2}));
  const KeyReport report = load_into(model, weights, Strictness::kLoose);
  EXPECT_EQ(report.unexpected, (std::vector<std::string>{"x.b", "x.a"}));
  EXPECT_EQ(report.missing.size(), 5u);
  EXPECT_EQ(report.missing.front(), "first.bias");
  EXPECT_EQ(model.first->weight.sum().item<float>(), 6);
}

TEST(LoadInto, RefusesOtherShapesEvenWhenLooseAndCopiesNothing) {
  for (const Strictness strictness : {Strictness::kStrict, Strictness::kLoose}) {
    Model model;
    StateDict weights = numbered(state_dict_of(model));
    weights.set("first.bias", at::ones({3}));
    weights.set("second.weight", at::ones({3, 2}));
    const std::string message =
        thrown_by<CompatibilityError>([&] { load_into(model, weights, strictness); });
    EXPECT_TRUE(holds(message, "first.bias [3] for [2]"));
    EXPECT_TRUE(holds(message, "second.weight [3, 2] for [2, 3]"));
    for (const auto& [name, tensor] : state_dict_of(model))
      EXPECT_EQ(tensor.sum().item<float>(), 0) << name;
  }
}

// Broadcasting would make of one number a whole row.
TEST(LoadInto, DoesNotBroadcast) {
  Model model;
  StateDict weights = numbered(state_dict_of(model));
  weights.set("first.bias", at::ones({1}));
  thrown_by<CompatibilityError>([&] { load_into(model, weights); });
}

TEST(LoadInto, HostileNamesArePrintable) {
  Model model;
  StateDict weights = numbered(state_dict_of(model));
  weights.set("evil\x1b[2J\n", at::ones({1}));
  EXPECT_TRUE(
      test::is_one_plain_line(thrown_by<CompatibilityError>([&] { load_into(model, weights); })));
}

torch::jit::Module scripted() {
  torch::jit::Module child("Child");
  child.register_parameter("weight", at::zeros({2, 2}), false);
  torch::jit::Module module("Model");
  module.register_module("child", child);
  module.register_parameter("bias", at::zeros({2}), false);
  module.register_buffer("offset", at::zeros({2}));
  module.define("def forward(self, x):\n  return x + self.bias + self.offset\n");
  return module;
}

TEST(LoadInto, ReachesATorchScriptModulesForward) {
  torch::jit::Module module = scripted();
  StateDict weights = numbered(state_dict_of(module));
  EXPECT_EQ(weights.size(), 3u);
  weights.set("bias", at::full({2}, 10.f));
  weights.set("offset", at::full({2}, 5.f));
  weights.set("child.weight", at::ones({2, 2}));
  load_into(module, weights);
  EXPECT_EQ(module.forward({at::zeros({2})}).toTensor()[0].item<float>(), 15);
  EXPECT_EQ(module.attr("child").toModule().attr("weight").toTensor().sum().item<float>(), 4);
}

TEST(LoadInto, ATorchScriptModuleIsStrictToo) {
  torch::jit::Module module = scripted();
  StateDict weights;
  weights.set("bias", at::ones({2}));
  const std::string message = thrown_by<CompatibilityError>([&] { load_into(module, weights); });
  EXPECT_TRUE(holds(message, "child.weight"));
  EXPECT_TRUE(holds(message, "offset"));
  const KeyReport report = load_into(module, weights, Strictness::kLoose);
  EXPECT_EQ(report.missing.size(), 2u);
  EXPECT_EQ(module.attr("bias").toTensor().sum().item<float>(), 2);
}

}  // namespace
}  // namespace suture
