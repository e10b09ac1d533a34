#include "suture/live_weights.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/nn/module.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/name_mapping.h"
#include "suture/surgery.h"

#include "core/tensor_source.h"
#include "support/cuda_machine.h"
#include "support/model_trio.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"
#include "surgery/form.h"

namespace suture {
namespace {

using test::holds;
using test::same_bits;
using test::thrown_by;

// Differences whose reads fail from a moment on, as those of a disk that breaks.
class BreakingSource final : public TensorSource {
 public:
  explicit BreakingSource(const StateDict& deltas) : inner_(make_source(deltas, "breaking")) {}
  const std::string& name() const override { return inner_->name(); }
  const std::vector<TensorInfo>& tensors() const override { return inner_->tensors(); }
  const TensorInfo* find(std::string_view name) const override { return inner_->find(name); }
  void read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
            void* out) const override {
    if (reads_left == 0) throw IoError({"breaking", tensor.name, "the disk is broken", {}, {}});
    --reads_left;
    inner_->read(tensor, begin, bytes, out);
  }
  void verify_unchanged() const override {}
  const Checkpoint* checkpoint() const override { return nullptr; }
  bool is_in_file(const TensorInfo&) const override { return false; }

  mutable std::atomic<int> reads_left{1'000'000};

 private:
  SourcePtr inner_;
};

class LiveWeightsTest : public test::ModelTrio {
 protected:
  LiveWeightsTest() { weights_ = target_.clone(); }

  TaskVector skill() const { return TaskVector::difference(tuned_, base_); }
  TaskVector style() const { return TaskVector::difference(test::make_relative(base_, 9), base_); }
  StateDict with(const TaskVector& vector) const {
    StateDict expected = target_.clone();
    vector.apply_to(expected);
    return expected;
  }

  static RunOptions one_thread() {
    RunOptions run;
    run.threads = 1;
    return run;
  }

  StateDict weights_;
};

// --- What the weights hold ---------------------------------------------------------------------

TEST_F(LiveWeightsTest, HoldWhatInjectWrites) {
  write_all();
  LiveWeights live(weights_);
  const TaskVector difference = open("tuned") - open("base");
  LiveEdit edit = live.apply(difference.only("layer=1-"), 0.7);
  const LiveEdit second = live.apply(difference, -0.25);
  inject(open("target"), live.vector(), path("injected"));
  EXPECT_TRUE(same_bits(weights_, load(path("injected"))));
  edit.undo();
  EXPECT_TRUE(same_bits(weights_, with(-0.25 * skill())));
}

TEST_F(LiveWeightsTest, OtherNamesAreToldWithTheWayThere) {
  StateDict plain;
  for (const auto& [name, tensor] : target_)
    plain.set(name.rfind("model.", 0) == 0 ? name.substr(6) : name, tensor.clone());
  LiveWeights live(plain);
  EXPECT_TRUE(
      holds(thrown_by<CompatibilityError>([&] { const LiveEdit edit = live.apply(skill()); }),
            "apply vector.renamed(mapping_between(vector, weights))"));
  const LiveEdit edit = live.apply(skill().renamed(mapping_between(skill(), plain)));
  EXPECT_TRUE(same_bits(plain.at("layers.0.mlp.up_proj.weight"),
                        with(skill()).at("model.layers.0.mlp.up_proj.weight")));
}

TEST_F(LiveWeightsTest, AnEditEndsWithItsObject) {
  LiveWeights live(weights_);
  {
    const LiveEdit edit = live.apply(skill());
    EXPECT_TRUE(same_bits(weights_, with(skill())));
  }
  EXPECT_TRUE(same_bits(weights_, target_));
  EXPECT_EQ(live.version(), 2u);
}

TEST_F(LiveWeightsTest, EditsEndInAnyOrder) {
  LiveWeights live(weights_);
  LiveEdit first = live.apply(skill(), 0.5), second = live.apply(style(), -2),
           third = live.apply(skill().only("block=mlp"));
  first.undo();
  EXPECT_TRUE(same_bits(weights_, with(-2 * style() + skill().only("block=mlp"))));
  third.undo();
  EXPECT_TRUE(same_bits(weights_, with(-2 * style())));
  second.undo();
  EXPECT_TRUE(same_bits(weights_, target_));
}

TEST_F(LiveWeightsTest, AnEditIsRescaledMaskedAndSwitched) {
  LiveWeights live(weights_);
  LiveEdit edit = live.apply(skill());
  edit.rescale(0.25);
  EXPECT_TRUE(same_bits(weights_, with(0.25 * skill())));
  edit.mask("layer=0");
  EXPECT_TRUE(same_bits(weights_, with(0.25 * skill().only("layer=0"))));
  edit.mask("layer=1-");  // in place of the mask, not within it
  EXPECT_TRUE(same_bits(weights_, with(0.25 * skill().only("layer=1-"))));
  edit.scale_layers({0, 2, -1}, 4);
  EXPECT_TRUE(
      same_bits(weights_, with(0.25 * skill().only("layer=1-").scaled_by_layer({0, 2, -1}, 4))));
  edit.mask(Selection());
  EXPECT_TRUE(same_bits(weights_, with(0.25 * skill().scaled_by_layer({0, 2, -1}, 4))));
  EXPECT_THROW(edit.scale_layers({1}), UsageError);
  EXPECT_TRUE(same_bits(weights_, with(0.25 * skill().scaled_by_layer({0, 2, -1}, 4))));
  edit.enable(false);
  EXPECT_TRUE(same_bits(weights_, target_));
  EXPECT_FALSE(edit.enabled());
  edit.scale_layers({});
  EXPECT_TRUE(same_bits(weights_, target_));
  edit.enable();
  EXPECT_TRUE(same_bits(weights_, with(0.25 * skill())));
  EXPECT_EQ(edit.scale(), 0.25);
  EXPECT_EQ(edit.vector().formula(), live.vector().formula());
}

TEST_F(LiveWeightsTest, AnEditKeepsItsPlaceInTheOrder) {
  LiveWeights live(weights_);
  LiveEdit first = live.apply(skill(), 1.0 / 3);
  const LiveEdit second = live.apply(style(), 3);
  first.enable(false);
  first.enable();
  EXPECT_TRUE(same_bits(weights_, with(1.0 / 3 * skill() + 3 * style())));
}

TEST_F(LiveWeightsTest, AnUndoneEditTakesNoOrders) {
  LiveWeights live(weights_);
  LiveEdit edit = live.apply(skill()), none;
  edit.undo();
  EXPECT_FALSE(edit.applied());
  EXPECT_THROW(edit.undo(), UsageError);
  EXPECT_THROW(edit.rescale(2), UsageError);
  EXPECT_THROW(edit.scale(), UsageError);
  EXPECT_FALSE(none.applied());
  EXPECT_THROW(none.enable(), UsageError);
  EXPECT_TRUE(same_bits(weights_, target_));
}

TEST_F(LiveWeightsTest, AnEditCanBeMoved) {
  LiveWeights live(weights_);
  std::vector<LiveEdit> edits;
  for (int i = 0; i < 5; ++i) edits.push_back(live.apply(skill(), i));
  edits.erase(edits.begin() + 1, edits.begin() + 4);  // 0 and 4 are left
  EXPECT_TRUE(same_bits(weights_, with(4 * skill())));
  edits.back() = live.apply(style());
  EXPECT_TRUE(same_bits(weights_, with(style())));
  edits.clear();
  EXPECT_TRUE(same_bits(weights_, target_));
}

TEST_F(LiveWeightsTest, EditsOutliveTheObjectTheyComeFrom) {
  std::optional<LiveEdit> edit;
  {
    LiveWeights live(weights_);
    edit = live.apply(skill());
  }
  EXPECT_TRUE(same_bits(weights_, with(skill())));
  edit->rescale(2);
  EXPECT_TRUE(same_bits(weights_, with(2 * skill())));
  edit.reset();
  EXPECT_TRUE(same_bits(weights_, target_));
}

TEST_F(LiveWeightsTest, OneChangeOfSeveralEditsIsOneVersion) {
  LiveWeights live(weights_);
  LiveEdit math = live.apply(skill()), code = live.apply(style());
  const std::uint64_t before = live.version();
  live.change([&](LiveChange& change) {
    change.undo(math);
    change.mask(code, "layer=1");
    change.rescale(code, 0.5);
    math = change.apply(skill().only("block=mlp"), 2);
  });
  EXPECT_EQ(live.version(), before + 1);
  EXPECT_TRUE(
      same_bits(weights_, with(0.5 * style().only("layer=1") + 2 * skill().only("block=mlp"))));
  EXPECT_TRUE(math.applied());
  EXPECT_EQ(live.failure(), "");
}

TEST_F(LiveWeightsTest, AnEditThatIsReplacedWithinAChangeEndsWithIt) {
  LiveWeights live(weights_);
  LiveEdit edit = live.apply(skill());
  live.change([&](LiveChange& change) { edit = change.apply(style()); });
  EXPECT_TRUE(same_bits(weights_, with(style())));
  EXPECT_EQ(live.version(), 2u);
}

TEST_F(LiveWeightsTest, AChangeThatThrowsIsNone) {
  LiveWeights live(weights_);
  LiveEdit edit = live.apply(skill()), added;
  EXPECT_THROW(live.change([&](LiveChange& change) {
    change.rescale(edit, 3);
    added = change.apply(style());
    throw UsageError({{}, {}, "no", {}, {}});
  }),
               UsageError);
  EXPECT_FALSE(added.applied());
  EXPECT_EQ(edit.scale(), 1);
  EXPECT_TRUE(same_bits(weights_, with(skill())));
  LiveEdit next = live.apply(style());
  EXPECT_FALSE(added.applied()) << "took the next one's place";
  EXPECT_THROW(live.change([&](LiveChange&) { edit.rescale(2); }), UsageError);
  EXPECT_THROW(edit.rescale(std::numeric_limits<double>::infinity()), UsageError);
  LiveWeights others(base_);
  EXPECT_THROW(others.change([&](LiveChange& change) { change.undo(edit); }), UsageError);
  EXPECT_TRUE(same_bits(weights_, with(skill() + style())));
}

// --- Kinds of weights --------------------------------------------------------------------------

TEST(LiveModules, NnModulesThatRequireGradients) {
  torch::nn::Module net;
  const at::Tensor weight = net.register_parameter("weight", at::ones({2, 3}));
  const at::Tensor buffer = net.register_buffer("scale", at::full({3}, 2.0));
  ASSERT_TRUE(weight.requires_grad());
  StateDict deltas;
  deltas.set("weight", at::full({2, 3}, 0.5));
  deltas.set("scale", at::full({3}, 0.25));
  LiveWeights live(net);
  const auto version = weight._version();
  {
    const LiveEdit edit = live.apply(TaskVector::from(deltas), 2);
    EXPECT_TRUE(at::equal(weight, at::full({2, 3}, 2.0)));
    EXPECT_TRUE(at::equal(buffer, at::full({3}, 2.5)));
    EXPECT_GT(weight._version(), version) << "autograd cannot tell";
  }
  EXPECT_TRUE(at::equal(weight, at::ones({2, 3})));
  EXPECT_TRUE(weight.requires_grad() && weight.is_leaf());
}

TEST(LiveModules, TorchScriptModules) {
  torch::jit::Module script("Net");
  script.register_parameter("weight", at::ones({2, 2}), false);
  script.register_buffer("shift", at::zeros({2}));
  script.define("def forward(self, x):\n    return torch.matmul(x, self.weight) + self.shift\n");
  const auto answer = [&] { return script.forward({at::ones({1, 2})}).toTensor(); };
  for (int i = 0; i < 3; ++i) answer();  // past profiling
  StateDict deltas;
  deltas.set("weight", at::ones({2, 2}));
  deltas.set("shift", at::full({2}, 10.0));
  LiveWeights live(script);
  LiveEdit edit = live.apply(TaskVector::from(deltas), 0.5);
  EXPECT_TRUE(at::equal(answer(), at::full({1, 2}, 8.0)));
  edit.mask("name=shift");
  EXPECT_TRUE(at::equal(answer(), at::full({1, 2}, 7.0)));
  edit.undo();
  EXPECT_TRUE(at::equal(answer(), at::full({1, 2}, 2.0)));
}

TEST(LiveModules, InferenceTensorsAndStridedOnes) {
  StateDict weights, deltas;
  {
    const c10::InferenceMode mode;
    weights.set("inference", at::ones({4}));
    weights.set("strided_inference", at::ones({4, 2}).t());
  }
  weights.set("strided", at::ones({4, 2}).t());
  weights.set("empty", at::empty({0, 3}));
  for (const auto& [name, tensor] : weights) deltas.set(name, at::ones(tensor.sizes()));
  LiveWeights live(weights);
  {
    const LiveEdit edit = live.apply(TaskVector::from(deltas), 3);
    for (const auto& [name, tensor] : weights)
      EXPECT_TRUE(at::equal(tensor, at::full(tensor.sizes(), 4.0))) << name;
  }
  for (const auto& [name, tensor] : weights)
    EXPECT_TRUE(at::equal(tensor, at::ones(tensor.sizes()))) << name;
}

TEST(LiveModules, TiedTensorsAreChangedOnceAndOverlappingOnesNot) {
  const at::Tensor fused = at::zeros({4, 2});
  StateDict weights, deltas;
  weights.set("embed", fused);
  weights.set("head", fused.view({4, 2}));
  weights.set("part", fused.narrow(0, 1, 2));
  weights.set("whole", at::zeros({2}));
  deltas.set("embed", at::ones({4, 2}));
  deltas.set("head", at::ones({4, 2}));
  deltas.set("part", at::ones({2, 2}));
  LiveWeights live(weights);
  const TaskVector vector = TaskVector::from(deltas);
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { (void)live.apply(vector); }), "part"));
  EXPECT_EQ(fused.sum().item<float>(), 0);
  LiveEdit edit = live.apply(vector.except("name=part"));
  EXPECT_EQ(fused.sum().item<float>(), 8);
  EXPECT_THROW((void)live.apply(vector.only("name=part")), UsageError);
  EXPECT_EQ(fused.sum().item<float>(), 8);
  edit.undo();
  const LiveEdit part = live.apply(vector.only("name=part"));
  EXPECT_EQ(fused.sum().item<float>(), 4);
}

TEST_F(LiveWeightsTest, RefuseWhatDoesNotFit) {
  StateDict more = base_, other_shape = base_, expanded = target_.clone();
  more.set("model.layers.0.extra", at::ones({2}));
  other_shape.set("model.norm.weight", at::ones({3}));
  expanded.set("model.norm.weight", at::ones({1}, at::kBFloat16).expand({16}));
  LiveWeights live(weights_), wide(expanded);
  const auto refusal = [](LiveWeights& refusing, const TaskVector& vector) {
    return thrown_by<CompatibilityError>([&] { (void)refusing.apply(vector); });
  };
  EXPECT_TRUE(holds(refusal(live, TaskVector::from(more)), "model.layers.0.extra"));
  EXPECT_TRUE(holds(refusal(live, TaskVector::from(other_shape)), "[16] in the weights"));
  EXPECT_TRUE(holds(refusal(live, TaskVector::from(base_) + TaskVector::from(other_shape)), "[3]"));
  EXPECT_TRUE(holds(refusal(wide, skill()), "expanded"));
  EXPECT_TRUE(same_bits(weights_, target_));
  EXPECT_EQ(live.version(), 0u);
  const LiveEdit edit = live.apply(TaskVector::from(more).except("name=*extra"));
  EXPECT_TRUE(same_bits(weights_, with(TaskVector::from(base_))));
}

TEST_F(LiveWeightsTest, RefuseAVectorThatReadsTheseWeights) {
  LiveWeights live(weights_);
  const TaskVector vector = TaskVector::difference(tuned_, weights_);
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { (void)live.apply(vector); }), "clone()"));
  EXPECT_TRUE(same_bits(weights_, target_));
}

TEST_F(LiveWeightsTest, NoticeWeightsThatMoved) {
  torch::nn::Module net;
  const at::Tensor weight = net.register_parameter("weight", at::ones({2}));
  StateDict deltas;
  deltas.set("weight", at::ones({2}));
  LiveWeights live(net);
  {
    LiveEdit edit = live.apply(TaskVector::from(deltas));
    weight.set_data(at::full({2}, 7.0));
    EXPECT_TRUE(holds(thrown_by<UsageError>([&] { edit.rescale(3); }), "has moved"));
  }
  EXPECT_TRUE(holds(live.failure(), "has moved"));
  EXPECT_TRUE(at::equal(weight, at::full({2}, 7.0)));
}

// --- The price ---------------------------------------------------------------------------------

TEST_F(LiveWeightsTest, KeepACopyOfWhatAnEditTouches) {
  LiveWeights live(weights_);
  LiveEdit norms = live.apply(skill().only("name=model.norm.weight"));
  EXPECT_EQ(live.kept_bytes(), 32u);
  norms.enable(false);
  EXPECT_EQ(live.kept_bytes(), 32u) << "it may be switched on again";
  LiveEdit all = live.apply(skill());
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : weights_) bytes += tensor.nbytes();
  EXPECT_EQ(live.kept_bytes(), bytes);
  all.undo();
  EXPECT_EQ(live.kept_bytes(), 32u);
  norms.undo();
  EXPECT_EQ(live.kept_bytes(), 0u);
}

TEST_F(LiveWeightsTest, OrReadTheCheckpointAgain) {
  write_all();
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat, at::kDouble}) {
    StateDict weights, expected;
    for (const auto& [name, tensor] : target_) weights.set(name, tensor.clone().to(type));
    expected = weights.clone();
    weights.set("model.norm.weight", at::stack({weights.at("model.norm.weight")})[0]);  // a view
    LiveOptions options;
    options.originals = open("target");
    LiveWeights live(weights, options);
    LiveEdit first = live.apply(skill(), 0.5), second = live.apply(style());
    EXPECT_EQ(live.kept_bytes(), 0u);
    first.undo();
    StateDict changed = expected.clone();
    style().apply_to(changed);
    EXPECT_TRUE(same_bits(weights, changed));
    second.undo();
    EXPECT_TRUE(same_bits(weights, expected));
  }
}

TEST_F(LiveWeightsTest, RefuseACheckpointOfOtherBytes) {
  write_all();
  LiveOptions options;
  options.originals = open("tuned");
  LiveWeights live(weights_, options);
  EXPECT_TRUE(holds(thrown_by<CompatibilityError>([&] { (void)live.apply(skill()); }),
                    "other bytes than the weight has"));
  options.originals.reset();
  EXPECT_TRUE(same_bits(weights_, target_));
}

// --- Failures ----------------------------------------------------------------------------------

TEST_F(LiveWeightsTest, AVectorWhoseFileWasCutOffChangesNothingButCanBeTakenOff) {
  write_all();
  extract(open("tuned"), open("base"), path("v.safetensors"));
  LiveWeights live(weights_);
  LiveEdit edit = live.apply(TaskVector::open(path("v.safetensors")));
  const StateDict changed = weights_.clone();
  std::filesystem::resize_file(path("v.safetensors"),
                               std::filesystem::file_size(path("v.safetensors")) / 2);
  EXPECT_THROW(edit.rescale(0.5), IoError);
  EXPECT_TRUE(same_bits(weights_, changed));
  EXPECT_EQ(edit.scale(), 1);
  EXPECT_EQ(live.version(), 1u);
  edit.undo();
  EXPECT_TRUE(same_bits(weights_, target_));
}

TEST_F(LiveWeightsTest, ACheckpointThatWasWrittenToIsNotedAndTriedAgain) {
  write_all();
  LiveOptions options;
  options.originals = open("target");
  LiveWeights live(weights_, options);
  const StateDict changed = with(skill());
  const std::string file = path("target/model.safetensors"), aside = path("aside");
  {
    LiveEdit edit = live.apply(skill());
    std::filesystem::rename(file, aside);
    std::ofstream(file) << "other bytes";
    EXPECT_THROW(edit.rescale(2), IoError);
    EXPECT_THROW(edit.undo(), IoError);
    EXPECT_TRUE(edit.applied());
    EXPECT_TRUE(same_bits(weights_, changed));
  }
  EXPECT_TRUE(same_bits(weights_, changed));
  EXPECT_TRUE(holds(live.failure(), "model.safetensors"));
  { const LiveBatch batch = live.batch(); }  // a whole state all the same
  std::filesystem::rename(aside, file);
  live.change([](LiveChange&) {});
  EXPECT_TRUE(same_bits(weights_, target_));
  EXPECT_EQ(live.failure(), "");
}

TEST_F(LiveWeightsTest, AReadThatFailsHalfWayIsUndone) {
  const auto source = std::make_shared<BreakingSource>(skill().materialize());
  const TaskVector breaking = TaskVector::of(single_term(source, nullptr));
  LiveOptions options;
  options.run = one_thread();
  LiveWeights live(weights_, options);
  const LiveEdit style_edit = live.apply(style(), 0.5);
  const StateDict before = weights_.clone();
  source->reads_left = 5;
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { (void)live.apply(breaking); }), "disk is broken"));
  EXPECT_TRUE(same_bits(weights_, before));
  EXPECT_EQ(live.version(), 1u);
  EXPECT_EQ(live.vector().formula(), (0.5 * style()).formula());
  source->reads_left = 1'000'000;
  const LiveEdit edit = live.apply(breaking);
  EXPECT_TRUE(same_bits(weights_, with(0.5 * style() + breaking)));
}

TEST_F(LiveWeightsTest, WhatCannotBeUndoneIsSwitchedOffAsAWhole) {
  const auto source = std::make_shared<BreakingSource>(skill().materialize());
  const TaskVector breaking = TaskVector::of(single_term(source, nullptr));
  LiveOptions options;
  options.run = one_thread();
  LiveWeights live(weights_, options);
  LiveEdit style_edit = live.apply(style(), 0.5), edit = live.apply(breaking);
  source->reads_left = 5;  // neither the new state nor the old one can be computed
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { edit.rescale(2); }), "every edit is switched off"));
  EXPECT_TRUE(same_bits(weights_, target_));
  EXPECT_FALSE(edit.enabled() || style_edit.enabled());
  EXPECT_EQ(live.batch().version(), 3u);
  style_edit.enable();
  EXPECT_TRUE(same_bits(weights_, with(0.5 * style())));
  EXPECT_EQ(live.failure(), "");
}

TEST_F(LiveWeightsTest, ACancelledChangeIsUndone) {
  std::atomic<bool> cancel{false};
  LiveOptions options;
  options.run.cancel = &cancel;
  LiveWeights live(weights_, options);
  LiveEdit edit = live.apply(skill());
  cancel = true;
  EXPECT_THROW(edit.rescale(2), Interrupted);
  EXPECT_TRUE(same_bits(weights_, with(skill())));
  cancel = false;
  edit.undo();
  EXPECT_TRUE(same_bits(weights_, target_));
}

// --- Beside batches ----------------------------------------------------------------------------

TEST_F(LiveWeightsTest, AThreadDoesNotWaitForItself) {
  LiveWeights live(weights_);
  auto edit = std::make_unique<LiveEdit>(live.apply(skill()));
  {
    const LiveBatch batch = live.batch();
    EXPECT_EQ(batch.version(), 1u);
    EXPECT_THROW(edit->rescale(2), UsageError);
    EXPECT_THROW((void)live.apply(style()), UsageError);
    const LiveBatch within = live.batch();
    edit.reset();  // cannot wait either
    EXPECT_TRUE(same_bits(weights_, with(skill())));
    EXPECT_TRUE(holds(live.failure(), "within a batch"));
  }
  EXPECT_TRUE(same_bits(weights_, target_));
  EXPECT_THROW(live.change([&](LiveChange& change) {
    const LiveBatch batch = live.batch();
    (void)change;
    live.change([](LiveChange&) {});
  }),
               UsageError);
}

TEST_F(LiveWeightsTest, ABatchSeesOneVersionWhateverOthersDo) {
  LiveWeights live(weights_);
  std::atomic<bool> ends{false};
  std::vector<std::thread> changers;
  for (int i = 0; i < 2; ++i) {
    changers.emplace_back([&, i] {
      while (!ends) {
        LiveEdit edit = live.apply(i == 0 ? skill() : style());
        edit.rescale(-1);
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    const LiveBatch batch = live.batch();
    const StateDict expected = with(live.vector());
    std::this_thread::yield();
    EXPECT_TRUE(same_bits(weights_, expected));
    EXPECT_EQ(batch.version(), live.version());
  }
  ends = true;
  for (std::thread& changer : changers) changer.join();
  EXPECT_TRUE(same_bits(weights_, target_));
  EXPECT_EQ(live.failure(), "");
}

// --- On a GPU ----------------------------------------------------------------------------------

TEST_F(LiveWeightsTest, OnAGpuHoldWhatTheyHoldOnTheCpu) {
  if (const std::string reason = test::why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  const StateDict on_gpu = target_.to(at::Device(at::kCUDA, 0));
  LiveWeights live(on_gpu);
  LiveEdit edit = live.apply(skill(), 0.5);
  const LiveEdit second = live.apply(style());
  EXPECT_TRUE(same_bits(on_gpu.to(at::kCPU), with(0.5 * skill() + style())));
  edit.undo();
  EXPECT_TRUE(same_bits(on_gpu.to(at::kCPU), with(style())));
}

}  // namespace
}  // namespace suture
