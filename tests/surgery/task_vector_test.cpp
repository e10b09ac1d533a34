#include "suture/task_vector.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/site.h"
#include "suture/surgery.h"

#include "support/temp_dir.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"
#include "support/tiny_model.h"

namespace suture {
namespace {

using test::holds;
using test::same_bits;
using test::TempDir;
using test::thrown_by;

const StateDict& base() {
  static const StateDict weights = test::make_weights({}, 1);
  return weights;
}
const StateDict& tuned() {
  static const StateDict weights = test::make_relative(base(), 2);
  return weights;
}
const StateDict& other() {
  static const StateDict weights = test::make_relative(base(), 3, 2e-3);
  return weights;
}

TaskVector skill() { return TaskVector::difference(tuned(), base()); }
TaskVector style() { return TaskVector::difference(other(), base()); }

// What the contract computes, by torch.
StateDict by_torch(const StateDict& a, const StateDict& b) {
  StateDict deltas;
  for (const auto& [name, tensor] : a)
    deltas.set(name, tensor.to(at::kFloat) - b.at(name).to(at::kFloat));
  return deltas;
}

template <class Change>
StateDict changed(const StateDict& weights, Change change) {
  StateDict result;
  for (const auto& [name, tensor] : weights) result.set(name, change(name, tensor));
  return result;
}

TEST(TaskVector, MaterialisesAsTheFloat32Difference) {
  EXPECT_TRUE(same_bits(skill().materialize(), by_torch(tuned(), base())));
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  const at::Tensor expected = by_torch(tuned(), base()).at(name);
  EXPECT_TRUE(same_bits(skill().materialize(std::string_view(name)), expected));
  EXPECT_TRUE(same_bits(skill().materialize(name), expected));
  EXPECT_TRUE(same_bits(skill().materialize(name.c_str()), expected));
}

TEST(TaskVector, RefusesScalesWhoseProductIsNotFinite) {
  const TaskVector large = 1e200 * skill();
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { (void)(1e200 * large); }), "inf"));
}

TEST(TaskVector, MaterialisesInFloat64WhereAnOperandIs) {
  StateDict wide, narrow;
  wide.set("w", at::full({3}, 1.0 / 3, at::kDouble));
  narrow.set("w", at::full({3}, 0.1f));
  const at::Tensor made = TaskVector::difference(wide, narrow).materialize("w");
  EXPECT_TRUE(same_bits(made, wide.at("w") - narrow.at("w").to(at::kDouble)));
}

TEST(TaskVector, WithoutTermsIsZero) {
  const TaskVector zero;
  EXPECT_TRUE(zero.names().empty());
  EXPECT_EQ(zero.formula(), "0");
  EXPECT_EQ(zero.norm(), 0);
  EXPECT_EQ(zero.dot(skill()), 0);
  EXPECT_EQ(zero.cosine(skill()), 0);
  EXPECT_TRUE(zero.materialize().empty());
  StateDict weights = base().clone();
  zero.apply_to(weights);
  EXPECT_TRUE(same_bits(weights, base()));
}

TEST(TaskVector, ScalesNegatesAddsAndSubtracts) {
  const StateDict a = by_torch(tuned(), base()), b = by_torch(other(), base());
  const auto expect = [](const TaskVector& vector, auto formula) {
    StateDict made = vector.materialize();
    for (const auto& [name, tensor] : made) EXPECT_TRUE(same_bits(tensor, formula(name))) << name;
    EXPECT_EQ(made.size(), base().size());
  };
  expect(0.8 * skill(), [&](auto& n) { return a.at(n) * 0.8f; });
  expect(skill() * 0.8, [&](auto& n) { return a.at(n) * 0.8f; });
  expect(-skill(), [&](auto& n) { return -a.at(n); });
  expect(skill() + style(), [&](auto& n) { return a.at(n) + b.at(n); });
  expect(skill() - 0.5 * style(), [&](auto& n) { return a.at(n) + b.at(n) * -0.5f; });
  expect(2 * (skill() + style()), [&](auto& n) { return a.at(n) * 2 + b.at(n) * 2; });
}

TEST(TaskVector, FromTakesDifferencesAsTheyAre) {
  const StateDict deltas = by_torch(tuned(), base());
  EXPECT_TRUE(same_bits(TaskVector::from(deltas).materialize(), deltas));
}

TEST(TaskVector, NamesFollowTheFirstTermThenTheOthers) {
  StateDict ab, bc;
  ab.set("b", at::ones({1}));
  ab.set("a", at::ones({1}));
  bc.set("c", at::ones({1}));
  bc.set("b", at::ones({1}));
  const TaskVector sum = TaskVector::from(ab) + TaskVector::from(bc);
  EXPECT_EQ(sum.names(), (std::vector<std::string>{"b", "a", "c"}));
  EXPECT_EQ(sum.materialize("b").item<float>(), 2);
  EXPECT_EQ(sum.materialize("c").item<float>(), 1);
}

TEST(TaskVector, ScaledByZeroHasNoTensors) { EXPECT_TRUE((0.0 * skill()).names().empty()); }

TEST(TaskVector, NonFloatTensorsAreNoPartOfIt) {
  StateDict a = tuned(), b = base();
  a.set("ids", at::arange(3, at::kLong));
  b.set("ids", at::arange(3, at::kLong));
  EXPECT_EQ(TaskVector::difference(a, b).names().size(), base().size());
}

TEST(TaskVector, MaskedIsZeroElsewhere) {
  const TaskVector late = skill().only("layer=1- & block=mlp");
  for (const std::string& name : late.names()) {
    EXPECT_TRUE(name.find("mlp") != std::string::npos) << name;
    EXPECT_EQ(name.find("layers.0"), std::string::npos) << name;
  }
  EXPECT_EQ(late.names().size(), 6u);
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { late.materialize("model.norm.weight"); }),
                    "model.norm.weight"));
  EXPECT_EQ(skill().except("layer=1- & block=mlp").names().size(), base().size() - 6);
}

TEST(TaskVector, TwoHalvesMakeTheWhole) {
  const TaskVector whole = skill();
  const TaskVector first = whole.only("layer=0-1"), second = whole.except("layer=0-1");
  EXPECT_TRUE(same_bits((first + second).materialize(), whole.materialize()));
  EXPECT_DOUBLE_EQ(std::hypot(first.norm(), second.norm()), whole.norm());
  EXPECT_EQ(first.dot(second), 0);
  EXPECT_NEAR(first.dot(whole) + second.dot(whole), whole.dot(whole), 1e-12);
  StateDict at_once = base().clone(), one_by_one = base().clone();
  whole.apply_to(at_once);
  first.apply_to(one_by_one);
  second.apply_to(one_by_one);
  EXPECT_TRUE(same_bits(at_once, one_by_one));
}

TEST(TaskVector, MasksNarrowEachOther) {
  EXPECT_EQ(skill().only("block=mlp").only("layer=2").names(),
            skill().only("block=mlp & layer=2").names());
  EXPECT_EQ(skill().only(Selection()).names(), skill().names());
}

TEST(TaskVector, AMaskOnASumReachesEveryTerm) {
  const TaskVector masked = (skill() + style()).only("layer=0");
  EXPECT_TRUE(same_bits(masked.materialize(),
                        (skill().only("layer=0") + style().only("layer=0")).materialize()));
}

TEST(TaskVector, LayerCoefficientsScaleEachLayer) {
  const StateDict deltas = by_torch(tuned(), base());
  const StateDict made = skill().scaled_by_layer({0.5, 0, -2}, 3).materialize();
  for (const auto& [name, delta] : deltas) {
    const auto layer = site_of(name).layer;
    const double scale = !layer ? 3 : *layer == 0 ? 0.5 : *layer == 1 ? 0 : -2;
    if (scale == 0) {
      EXPECT_FALSE(made.contains(name)) << name;
    } else {
      EXPECT_TRUE(same_bits(made.at(name), delta * static_cast<float>(scale))) << name;
    }
  }
}

TEST(TaskVector, NeedsACoefficientForEveryLayerItHas) {
  EXPECT_TRUE(holds(thrown_by<UsageError>([] {
                      (void)skill().scaled_by_layer({1, 1});
                    }),
                    "2 layer coefficients"));
  EXPECT_NO_THROW((void)skill().only("layer=0-1").scaled_by_layer({1, 1}));
  EXPECT_NO_THROW((void)skill().scaled_by_layer({1, 1, 1, 1}));
}

TEST(TaskVector, CoefficientsAreFiniteNumbers) {
  for (const double bad :
       {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN()}) {
    thrown_by<UsageError>([&] { (void)(bad * skill()); });
    thrown_by<UsageError>([&] { (void)skill().scaled_by_layer({1, bad, 1}); });
    thrown_by<UsageError>([&] { (void)skill().scaled_by_layer({1, 1, 1}, bad); });
    StateDict weights = base().clone();
    thrown_by<UsageError>([&] { skill().apply_to(weights, bad); });
  }
}

TEST(TaskVector, SaysItsFormula) {
  EXPECT_EQ(skill().formula(), "(tuned - base)");
  EXPECT_EQ((0.8 * skill()).formula(), "0.8 * (tuned - base)");
  EXPECT_EQ((-skill()).formula(), "-(tuned - base)");
  EXPECT_EQ((skill() - 2 * style()).formula(), "(tuned - base) - 2 * (tuned - base)");
  EXPECT_EQ((0.1 * skill().only("layer=0 | block=mlp")).formula(),
            "0.1 * (tuned - base).only(layer=0 | block=mlp)");
  EXPECT_EQ(skill().scaled_by_layer({0.5, 1, 1}).formula(),
            "(tuned - base).scaled_by_layer(0.5, 1, 1, outside 1)");
}

double norm_by_torch(const at::Tensor& tensor) {
  return tensor.to(at::kDouble).norm().item<double>();
}

TEST(TaskVectorNorms, EqualTorchInDouble) {
  const StateDict deltas = by_torch(tuned(), base());
  const LayerMeasure norms = skill().norms();
  double total = 0, outside = 0;
  std::vector<double> layers(3);
  ASSERT_EQ(norms.tensors.size(), deltas.size());
  std::size_t i = 0;
  for (const auto& [name, delta] : deltas) {
    const double norm = norm_by_torch(delta);
    EXPECT_EQ(norms.tensors[i].name, name);
    EXPECT_NEAR(norms.tensors[i++].value, norm, 1e-12 * norm);
    total += norm * norm;
    const auto layer = site_of(name).layer;
    (layer ? layers[static_cast<std::size_t>(*layer)] : outside) += norm * norm;
  }
  EXPECT_NEAR(norms.total, std::sqrt(total), 1e-12 * std::sqrt(total));
  EXPECT_NEAR(norms.outside_layers, std::sqrt(outside), 1e-12 * std::sqrt(outside));
  ASSERT_EQ(norms.layers.size(), 3u);
  for (std::size_t layer = 0; layer < 3; ++layer)
    EXPECT_NEAR(norms.layers[layer], std::sqrt(layers[layer]), 1e-12 * std::sqrt(layers[layer]));
}

TEST(TaskVectorNorms, DotsAndCosinesEqualTorchInDouble) {
  const StateDict a = by_torch(tuned(), base()), b = by_torch(other(), base());
  double dot = 0, squares_a = 0, squares_b = 0;
  const LayerMeasure dots = skill().dots(style()), cosines = skill().cosines(style());
  std::size_t i = 0;
  for (const auto& [name, delta] : a) {
    const at::Tensor x = delta.to(at::kDouble).flatten(), y = b.at(name).to(at::kDouble).flatten();
    const double part = x.dot(y).item<double>(), norms = norm_by_torch(x) * norm_by_torch(y);
    EXPECT_NEAR(dots.tensors[i].value, part, 1e-12 * norms) << name;
    EXPECT_NEAR(cosines.tensors[i++].value, norms > 0 ? part / norms : 0, 1e-12) << name;
    dot += part;
    squares_a += norm_by_torch(x) * norm_by_torch(x);
    squares_b += norm_by_torch(y) * norm_by_torch(y);
  }
  EXPECT_NEAR(dots.total, dot, 1e-12 * std::sqrt(squares_a * squares_b));
  EXPECT_NEAR(skill().dot(style()), style().dot(skill()), 1e-15);
  EXPECT_NEAR(skill().cosine(style()), dot / std::sqrt(squares_a * squares_b), 1e-12);
}

TEST(TaskVectorNorms, CosinesOfTheSameAndTheOppositeAreOneAndMinusOne) {
  EXPECT_NEAR(skill().cosine(skill()), 1, 1e-15);
  EXPECT_NEAR(skill().cosine(-skill()), -1, 1e-15);
  EXPECT_NEAR(skill().cosine(7 * skill()), 1, 1e-6);
  for (const double layer : skill().cosines(-skill()).layers) EXPECT_NEAR(layer, -1, 1e-15);
}

TEST(TaskVectorNorms, TensorsOfOnlyOneVectorCountAsZeroInTheOther) {
  const TaskVector layer0 = skill().only("layer=0"), layer1 = skill().only("layer=1");
  EXPECT_EQ(layer0.cosine(layer1), 0);
  EXPECT_NEAR(layer0.dot(skill()), layer0.norm() * layer0.norm(), 1e-12);
}

TEST(TaskVectorNorms, RefuseOtherShapesUnderOneName) {
  StateDict a, b;
  a.set("w", at::ones({2, 3}));
  b.set("w", at::ones({3, 2}));
  const std::string message =
      thrown_by<CompatibilityError>([&] { (void)TaskVector::from(a).dot(TaskVector::from(b)); });
  EXPECT_TRUE(holds(message, "[3, 2]"));
  EXPECT_TRUE(holds(message, "[2, 3]"));
}

TEST(TaskVectorNorms, AreTheSameBytesForAnyThreadsAndMemory) {
  StateDict a, b;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(5);
  a.set("w", at::randn({700, 700}, generator));
  b.set("w", at::randn({700, 700}, generator));
  const TaskVector x = TaskVector::from(a), y = TaskVector::from(b);
  RunOptions one;
  one.threads = 1;
  const double norm = x.norm(one), dot = x.dot(y, one);
  for (const unsigned threads : {1u, 2u, 7u}) {
    for (const std::uint64_t budget : {1ull << 20, 8ull << 20, 512ull << 20}) {
      RunOptions options;
      options.threads = threads;
      options.memory_budget_bytes = budget;
      EXPECT_EQ(x.norm(options), norm);
      EXPECT_EQ(x.dot(y, options), dot);
      EXPECT_TRUE(
          same_bits((x - y).materialize(at::kCPU, options), (x - y).materialize(at::kCPU, one)));
    }
  }
}

// 10^16 swallows each 1 that is added to it, but not their sum.
TEST(TaskVectorNorms, DoNotDependOnTheOrderOfTheTensors) {
  StateDict forwards, backwards;
  for (int i = 0; i < 9; ++i)
    forwards.set("w" + std::to_string(i), at::full({1}, i == 0 ? 1e8 : 1, at::kFloat));
  std::vector<StateDict::Entry> entries(forwards.begin(), forwards.end());
  for (auto at = entries.rbegin(); at != entries.rend(); ++at) backwards.set(at->first, at->second);
  const TaskVector a = TaskVector::from(forwards), b = TaskVector::from(backwards);
  EXPECT_EQ(a.dot(a), b.dot(b));
  EXPECT_EQ(a.norms().outside_layers, b.norms().outside_layers);
  EXPECT_EQ(a.norm(), b.norm());
}

TEST(TaskVectorDifference, ListsEveryTensorThatDoesNotSubtract) {
  StateDict a, b;
  a.set("same", at::ones({2}));
  b.set("same", at::ones({2}));
  a.set("mine", at::ones({2}));
  b.set("theirs", at::ones({2}));
  a.set("shape", at::ones({2, 3}));
  b.set("shape", at::ones({3, 2}));
  a.set("kind", at::ones({2}));
  b.set("kind", at::ones({2}, at::kByte));
  const std::string message = thrown_by<CompatibilityError>([&] { TaskVector::difference(a, b); });
  for (const char* part : {"4 tensors", "mine (only in tuned)", "theirs (only in base)",
                           "shape ([2, 3] against [3, 2])", "kind (F32 against U8)"}) {
    EXPECT_TRUE(holds(message, part));
  }
}

TEST(TaskVectorApply, RoundsLikeTorchInTheWrittenOrder) {
  const TaskVector vector = skill() - 0.25 * style();
  StateDict weights = base().clone();
  vector.apply_to(weights, 0.5);
  const StateDict a = by_torch(tuned(), base()), b = by_torch(other(), base());
  EXPECT_TRUE(same_bits(weights, changed(base(), [&](auto& name, auto& tensor) {
                          const at::Tensor sum =
                              tensor.to(at::kFloat) + a.at(name) * 0.5f + b.at(name) * -0.125f;
                          return sum.to(tensor.scalar_type());
                        })));
}

TEST(TaskVectorApply, IsInPlaceAlsoForStridedTensors) {
  StateDict deltas, weights;
  deltas.set("w", at::ones({3, 4}));
  const at::Tensor storage = at::zeros({4, 3});
  weights.set("w", storage.t());
  TaskVector::from(deltas).apply_to(weights);
  EXPECT_EQ(storage.sum().item<float>(), 12);
  TaskVector::from(deltas).apply_to(weights, -1);
  EXPECT_EQ(storage.sum().item<float>(), 0);
}

TEST(TaskVectorApply, ChangesTiedTensorsOnce) {
  StateDict deltas, weights;
  deltas.set("embed", at::ones({3}));
  deltas.set("head", at::ones({3}));
  const at::Tensor shared = at::zeros({3});
  weights.set("embed", shared);
  weights.set("head", shared);
  TaskVector::from(deltas).apply_to(weights);
  EXPECT_EQ(shared.sum().item<float>(), 3);
}

TEST(TaskVectorApply, MayChangeItsOwnSource) {
  StateDict mine = base().clone();
  const TaskVector vector = TaskVector::difference(tuned(), mine);
  vector.apply_to(mine);
  StateDict apart = base().clone();
  skill().apply_to(apart);
  EXPECT_TRUE(same_bits(mine, apart));
}

TEST(TaskVectorApply, RefusesBeforeAnythingHasChanged) {
  StateDict lacking, other_shape, integers;
  for (const auto& [name, tensor] : base()) {
    const bool last = name == "model.norm.weight";
    if (!last) lacking.set(name, tensor.clone());
    other_shape.set(name, last ? at::ones({3}) : tensor.clone());
    integers.set(name, last ? at::ones({16}, at::kInt) : tensor.clone());
  }
  for (StateDict* weights : {&lacking, &other_shape, &integers}) {
    EXPECT_TRUE(holds(thrown_by<CompatibilityError>([&] { skill().apply_to(*weights); }),
                      "model.norm.weight"));
    EXPECT_TRUE(same_bits(weights->at("model.embed_tokens.weight"),
                          base().at("model.embed_tokens.weight")));
  }
}

TEST(TaskVectorApply, GivesTheBytesThatInjectWrites) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf, at::kFloat, at::kDouble}) {
    const TempDir dir;
    test::TinyModel model;
    model.dtype = dtype;
    const StateDict start = test::make_weights(model, 1);
    test::write_model(dir / "base", model, start);
    test::write_model(dir / "tuned", model, test::make_relative(start, 2));
    const StateDict target = test::make_relative(start, 3);
    test::write_model(dir / "target", model, target);
    const TaskVector vector =
        0.7 * TaskVector::difference(Checkpoint::open((dir / "tuned").string()),
                                     Checkpoint::open((dir / "base").string()));
    inject(Checkpoint::open((dir / "target").string()), vector, (dir / "out").string());
    StateDict weights = target.clone();
    vector.apply_to(weights);
    EXPECT_TRUE(same_bits(load((dir / "out").string()), weights));
    EXPECT_FALSE(same_bits(weights, target));
  }
}

TEST(TaskVectorOpen, RefusesAModel) {
  const TempDir dir;
  save(base(), (dir / "m.safetensors").string());
  EXPECT_TRUE(holds(thrown_by([&] { TaskVector::open((dir / "m.safetensors").string()); }),
                    "not a task vector"));
}

TEST(TaskVectorOpen, RefusesANewerFormatAndDamagedMetadata) {
  const TempDir dir;
  for (const auto& [metadata, part] : {std::pair{R"({"format_version":3})", "format 3"},
                                       {R"({"format_version":1})", "damaged"},
                                       {"[1]", "damaged"},
                                       {"{", "JSON"},
                                       {R"({"format_version":"1"})", "damaged"}}) {
    SaveOptions options;
    options.metadata["suture"] = metadata;
    options.replace_existing = true;
    save(base(), (dir / "suture.safetensors").string(), options);
    EXPECT_TRUE(holds(
        thrown_by<FormatError>([&] { TaskVector::open((dir / "suture.safetensors").string()); }),
        part))
        << metadata;
  }
}

}  // namespace
}  // namespace suture
