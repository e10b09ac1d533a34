#include "surgery/switched_weights.h"

#include <atomic>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/control_vector.h"
#include "suture/error.h"
#include "suture/surgery.h"

#include "support/model_trio.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::same_bits;
using test::thrown_by;

// Weights in memory and on disk that are switched alike, beside what inject writes.
class SwitchedWeightsTest : public test::ModelTrio {
 protected:
  void begin(const RunOptions& options = {}, VocabularyPolicy policy = VocabularyPolicy::kSame,
             const std::string& target = "target") {
    policy_ = policy;
    target_name_ = target;
    memory_ = load(path(target));
    std::filesystem::remove_all(dir_ / "switched");
    inject(open(target), TaskVector(), path("switched"));
    in_memory_ = std::make_unique<SwitchedWeights>(
        open(target), std::make_unique<stream::WeightsInMemory>(memory_), policy, options);
    on_disk_ = std::make_unique<SwitchedWeights>(
        open(target), std::make_unique<stream::WeightsOnDisk>(open("switched")), policy, options);
  }

  StateDict injected(const TaskVector& vector, InjectReport* report = nullptr) const {
    InjectOptions options;
    options.replace_existing = true;
    options.check.vocabulary = policy_;
    options.check.allowed = {"kinship"};
    const InjectReport made = inject(open(target_name_), vector, path("injected"), options);
    if (report != nullptr) *report = made;
    return load(path("injected"));
  }

  // Both hold what inject writes, and wrote no tensor that was so already.
  void expect_becoming(const TaskVector& vector) {
    InjectReport report;
    const StateDict expected = injected(vector, &report);
    const StateDict before = load(path("switched"));
    const std::size_t written = in_memory_->become(vector);
    EXPECT_EQ(on_disk_->become(vector), written);
    EXPECT_TRUE(same_bits(memory_, expected));
    EXPECT_TRUE(same_bits(load(path("switched")), expected));
    std::size_t changed = 0;
    for (const auto& [name, tensor] : expected)
      changed += same_bits(tensor, before.at(name)) ? 0 : 1;
    EXPECT_GE(written, changed);
    EXPECT_EQ(in_memory_->become(vector), 0u) << "what is there already was written again";
    EXPECT_EQ(on_disk_->become(vector), 0u);
    const RealisedChange &found = in_memory_->realised().total, &wanted = report.realised.total;
    EXPECT_EQ(found.elements, wanted.elements);
    EXPECT_EQ(found.changed, wanted.changed);
    EXPECT_EQ(found.realised_norm, wanted.realised_norm);
    EXPECT_EQ(found.wanted_norm, wanted.wanted_norm);
    EXPECT_EQ(found.cosine, wanted.cosine);
    EXPECT_EQ(on_disk_->realised().total.realised_norm, wanted.realised_norm);
  }

  void expect_the_target() {
    EXPECT_TRUE(same_bits(memory_, load(path(target_name_))));
    EXPECT_TRUE(same_bits(load(path("switched")), load(path(target_name_))));
  }

  void restore_both() {
    in_memory_->restore();
    on_disk_->restore();
    expect_the_target();
  }

  TaskVector skill() const { return open("tuned") - open("base"); }

  TaskVector random_vector(std::mt19937& random) const {
    constexpr const char* kMasks[] = {"layer=1",    "block=mlp",        "!layer=0",
                                      "layer=0-",   "!layer=0-",        "module=q_proj,k_proj",
                                      "block=norm", "name=*norm.weight"};
    constexpr double kScales[] = {1, 1, -1, 0.5, -2.25, 1e-3};
    const auto one = [&]() -> TaskVector {
      switch (random() % 4) {
        case 0:
          return open("tuned") - open("target");
        case 1:
          return norm_matched_random(skill(), random());
        case 2:
          return with_layer_order(skill(), {1, 2, 0});
        default:
          return skill();
      }
    };
    TaskVector vector = kScales[random() % std::size(kScales)] * one();
    if (random() % 3 == 0) vector = vector + kScales[random() % std::size(kScales)] * one();
    if (random() % 3 > 0) vector = vector.only(kMasks[random() % std::size(kMasks)]);
    return vector;
  }

  VocabularyPolicy policy_ = VocabularyPolicy::kSame;
  std::string target_name_;
  StateDict memory_;
  std::unique_ptr<SwitchedWeights> in_memory_, on_disk_;
};

TEST_F(SwitchedWeightsTest, AreWhatInjectWritesForAnySequenceOfVectors) {
  std::mt19937 random(6);
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    model_.dtype = dtype;
    model_.tied = dtype != at::kHalf;
    make(model_);
    for (const char* name : {"base", "tuned", "target"}) std::filesystem::remove_all(dir_ / name);
    write_all(dtype == at::kBFloat16 ? 6000 : 5'000'000'000);
    begin();
    for (int round = 0; round < 12; ++round) {
      expect_becoming(random_vector(random));
      if (round % 5 == 4) restore_both();
    }
    restore_both();
  }
}

TEST_F(SwitchedWeightsTest, WriteOnlyTensorsThatDiffer) {
  write_all();
  begin();
  const std::size_t all = base_.size();
  EXPECT_EQ(in_memory_->become(TaskVector()), 0u);
  EXPECT_EQ(in_memory_->become(skill().only("module=q_proj & layer=1")), 2u);
  EXPECT_EQ(in_memory_->become(skill()), all);
  const TaskVector whole = skill();
  in_memory_->become(whole);
  EXPECT_EQ(in_memory_->become(whole.except("layer=2")), 10u);
  EXPECT_EQ(in_memory_->become(whole.except("layer=1")), 20u);
  EXPECT_EQ(in_memory_->become(0.5 * whole.only("layer=1")), all);
  EXPECT_EQ(in_memory_->become(TaskVector()), 10u);
  EXPECT_TRUE(same_bits(memory_, target_));
}

// Adding the difference from the target itself gives the donor's own bytes, exactly.
TEST_F(SwitchedWeightsTest, CopyTheDonorWhereInjectDoes) {
  model_.dtype = at::kFloat;
  make(model_);
  tuned_ = test::make_relative(base_, 8, 10);
  write_all();
  begin();
  expect_becoming(open("tuned") - open("target"));
  EXPECT_TRUE(same_bits(memory_, tuned_));
  expect_becoming((open("tuned") - open("target")).only("layer=1"));
  restore_both();
}

TEST_F(SwitchedWeightsTest, FollowTheEmbeddingInATiedHeadThatIsStored) {
  for (StateDict* weights : {&base_, &tuned_, &target_})
    weights->set("lm_head.weight", weights->at("model.embed_tokens.weight").clone());
  write_all();
  begin();
  for (const TaskVector& vector :
       {skill(), skill().except("block=head"), skill().only("block=head"),
        -1 * skill().only("block=embedding")}) {
    expect_becoming(vector);
    EXPECT_TRUE(same_bits(memory_.at("lm_head.weight"), memory_.at("model.embed_tokens.weight")));
  }
  restore_both();
}

TEST_F(SwitchedWeightsTest, KeepTensorsThatNoVectorReaches) {
  set_in_all("model.layers.0.ids", at::arange(7, at::kLong));
  set_in_all("flags", at::ones({3}, at::kBool));
  set_in_all("empty", at::zeros({0, 3}));
  write_all();
  begin();
  expect_becoming(skill());
  EXPECT_TRUE(same_bits(memory_.at("model.layers.0.ids"), at::arange(7, at::kLong)));
  restore_both();
}

TEST_F(SwitchedWeightsTest, MatchRowsByTokenTextWhereThatIsWanted) {
  model_.tied = false;
  make(model_);
  write_all();
  test::TinyModel larger = model_;
  larger.vocab += 3;
  StateDict roomy = test::make_weights(larger, 7);
  test::write_model(dir_ / "roomy", larger, roomy);
  begin({}, VocabularyPolicy::kCommon, "roomy");
  expect_becoming(0.5 * skill());
  expect_becoming(skill().except("block=head"));
  expect_becoming(norm_matched_random(skill(), 1));
  expect_becoming(with_layer_order(skill(), {2, 0, 1}));
  restore_both();
}

TEST_F(SwitchedWeightsTest, DependOnNeitherThreadsNorMemory) {
  write_all();
  for (const unsigned threads : {1u, 4u}) {
    RunOptions options;
    options.threads = threads;
    options.memory_budget_bytes = threads == 1 ? 1 : std::uint64_t{512} << 20;
    begin(options);
    expect_becoming(0.3 * skill() + norm_matched_random(skill(), 1));
    restore_both();
  }
}

TEST_F(SwitchedWeightsTest, AreTheTargetsAgainAfterACancelledSwitch) {
  write_all();
  std::atomic<bool> cancel{false};
  RunOptions options;
  options.cancel = &cancel;
  begin(options);
  expect_becoming(skill());
  cancel = true;
  EXPECT_THROW(in_memory_->become(-1 * skill()), Interrupted);
  EXPECT_THROW(on_disk_->become(-1 * skill()), Interrupted);
  restore_both();
  EXPECT_THROW(in_memory_->become(skill()), Interrupted) << "the run is no longer cancelled";
  cancel = false;
  expect_becoming(-1 * skill());
}

// A source that is cut short while it is being read leaves tensors half written.
class FailingStore final : public stream::WeightsStore {
 public:
  FailingStore(StateDict weights, const int& writes_left)
      : store_(std::move(weights)), writes_left_(writes_left) {}
  std::map<std::string, const TensorInfo*> open(const std::vector<std::string>& names) override {
    return store_.open(names);
  }
  void close() override { store_.close(); }
  void write(const TensorInfo& tensor, std::uint64_t begin, const void* data,
             std::size_t bytes) override {
    fail_in_time();
    store_.write(tensor, begin, data, bytes);
  }
  void copy(const TensorInfo& tensor, std::uint64_t begin, const format::File& source,
            std::uint64_t source_offset, std::uint64_t bytes) override {
    fail_in_time();
    store_.copy(tensor, begin, source, source_offset, bytes);
  }

 private:
  void fail_in_time() {
    if (writes_left_ >= 0 && ++writes_ > writes_left_)
      throw IoError({"store", {}, "cannot be written", {}, {}});
  }
  stream::WeightsInMemory store_;
  const int& writes_left_;  // negative: all
  int writes_ = 0;
};

TEST_F(SwitchedWeightsTest, AreWholeAfterASwitchThatFailedAnywhere) {
  write_all();
  RunOptions options;
  options.threads = 1;
  for (int writes = 0; writes < 31; writes += 3) {
    begin(options);
    int left = -1;
    StateDict weights = load(path("target"));
    SwitchedWeights switched(open("target"), std::make_unique<FailingStore>(weights, left),
                             VocabularyPolicy::kSame, options);
    left = writes;
    EXPECT_THROW(switched.become(skill()), IoError);
    left = -1;
    if (writes % 2 == 0) {
      switched.become(skill().only("layer=1"));
      EXPECT_TRUE(same_bits(weights, injected(skill().only("layer=1"))));
    }
    switched.restore();
    EXPECT_TRUE(same_bits(weights, target_));
  }
}

TEST_F(SwitchedWeightsTest, NoticeFilesThatHaveChanged) {
  write_all();
  begin();
  const TaskVector vector = skill(), moved = with_layer_order(vector, {1, 0, 2});
  const std::filesystem::path tuned = dir_ / "tuned" / "model.safetensors";
  const std::string bytes = test::read_file(tuned);
  test::write_file(tuned, bytes + " ");
  EXPECT_THROW(in_memory_->become(vector), IoError);
  EXPECT_THROW(in_memory_->become(moved), IoError);
  expect_the_target();
  restore_both();
  const std::filesystem::path target = dir_ / "target" / "model.safetensors";
  test::write_file(target, test::read_file(target) + " ");
  EXPECT_THROW(in_memory_->become(TaskVector()), IoError);
  EXPECT_THROW(in_memory_->restore(), IoError);
}

TEST_F(SwitchedWeightsTest, RefuseATensorThatTheStoreLacks) {
  write_all();
  begin();
  StateDict fewer;
  for (const auto& [name, tensor] : target_)
    if (name != "model.norm.weight") fewer.set(name, tensor.clone());
  SwitchedWeights switched(open("target"), std::make_unique<stream::WeightsInMemory>(fewer));
  EXPECT_NO_THROW(switched.become(skill().only("layer=0-")));
  EXPECT_TRUE(test::holds(thrown_by<UsageError>([&] { switched.become(skill()); }), "model.norm"));
}

}  // namespace
}  // namespace suture
