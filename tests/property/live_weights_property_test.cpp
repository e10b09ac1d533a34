#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/live_weights.h"
#include "suture/site.h"

#include "core/scalar_type.h"
#include "support/cuda_machine.h"
#include "support/temp_dir.h"
#include "support/tensor_bytes.h"

namespace suture {
namespace {

using test::same_bits;

// A small model: a tied head, a strided tensor, and -0, NaN payloads, infinities and subnormals.
StateDict make_model(at::ScalarType type, at::Device device) {
  std::uint64_t seed = 1;
  const auto make = [&](std::vector<std::int64_t> shape) {
    const at::Tensor tensor = at::empty(shape, type);
    const std::string bytes =
        test::strewn_bytes(dtype_of(type), static_cast<std::size_t>(tensor.numel()), seed++);
    std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
    return tensor.to(device);
  };
  StateDict weights;
  weights.set("model.embed_tokens.weight", make({9, 4}));
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    weights.set(layer + "self_attn.q_proj.weight", make({4, 4}));
    weights.set(layer + "mlp.up_proj.weight", make({4, 5}).t());
    weights.set(layer + "input_layernorm.weight", make({4}));
  }
  weights.set("lm_head.weight", weights.at("model.embed_tokens.weight"));
  return weights;
}

// Vectors whose operands are finite, so that no sum becomes NaN.
StateDict make_relative(const StateDict& model, std::uint64_t seed, at::ScalarType type) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  StateDict made;
  for (const auto& [name, tensor] : model)
    made.set(name, (at::randn(tensor.sizes(), generator, at::kFloat) * 0.1).to(type));
  made.set("lm_head.weight", made.at("model.embed_tokens.weight"));
  return made;
}

// One applied edit as torch sees it.
struct Applied {
  LiveEdit edit;
  std::vector<std::pair<double, std::size_t>> terms;  // coefficient, and which tuned model
  double scale = 1;
  bool enabled = true;
  Selection mask;
  std::optional<std::vector<double>> layers;

  double gate_on(const std::string& name) const {
    if (!mask.matches(name)) return 0;
    if (!layers) return 1;
    const auto layer = site_of(name).layer;
    return layer ? (*layers)[static_cast<std::size_t>(*layer)] : layers->back();
  }
};

class RandomEdits {
 public:
  RandomEdits(at::ScalarType type, at::Device device, bool rereads, std::uint64_t seed)
      : random_(seed),
        weights_(make_model(type, device)),
        originals_(weights_.clone().to(at::kCPU)),
        base_(make_relative(weights_, 7, type)) {
    for (const std::uint64_t i : {11, 12, 13})
      tuned_.push_back(make_relative(weights_, i, i == 12 ? at::kFloat : type));
    LiveOptions options;
    if (rereads) {
      StateDict stored;  // a file holds no tied tensor twice
      for (const auto& [name, tensor] : originals_)
        if (name != "lm_head.weight") stored.set(name, tensor);
      save(stored, (dir_ / "original.safetensors").string());
      options.originals = Checkpoint::open((dir_ / "original.safetensors").string());
    }
    live_.emplace(weights_, options);
  }

  void step() {
    const std::size_t action = applied_.size() < 2 ? 0 : random_() % 8;
    if (action < 2 && applied_.size() < 6) return apply();
    Applied& one = applied_[random_() % applied_.size()];
    switch (action) {
      case 2:
        one.edit.rescale(one.scale = scale());
        return;
      case 3:
        one.edit.enable(one.enabled = !one.enabled);
        return;
      case 4:
        one.edit.mask(one.mask = mask());
        return;
      case 5:
        one.layers.reset();
        if (random_() % 3 > 0) one.layers = std::vector<double>{scale(), scale(), scale()};
        if (one.layers)
          one.edit.scale_layers({(*one.layers)[0], (*one.layers)[1]}, (*one.layers)[2]);
        else
          one.edit.scale_layers({});
        return;
      case 6:
        swap(one);
        return;
      default:
        undo(static_cast<std::size_t>(&one - applied_.data()));
    }
  }

  void undo_all() {
    while (!applied_.empty()) undo(random_() % applied_.size());
  }

  testing::AssertionResult holds_what_torch_says() const {
    for (const auto& [name, tensor] : weights_) {
      if (!same_bits(tensor.cpu(), expected(name)))
        return testing::AssertionFailure() << name << " differs with " << live_->vector().formula();
    }
    return testing::AssertionSuccess();
  }

  testing::AssertionResult holds_the_originals() const {
    return same_bits(weights_.to(at::kCPU), originals_);
  }

  const LiveWeights& live() const { return *live_; }

 private:
  // The contract of numerics.md in torch's words.
  at::Tensor expected(const std::string& name) const {
    const at::Tensor& original = originals_.at(name);
    const std::string first = name == "lm_head.weight" ? "model.embed_tokens.weight" : name;
    const at::Tensor start = original.to(at::kFloat);
    at::Tensor sum = start;
    for (const Applied& one : applied_) {
      if (!one.enabled) continue;
      for (const auto& [coefficient, tuned] : one.terms) {
        // A tied tensor goes by the first of its names that is not masked out.
        const bool is_tied = first == "model.embed_tokens.weight";
        const std::string by =
            is_tied && coefficient * one.scale * one.gate_on(first) == 0 ? "lm_head.weight" : first;
        const double scale = coefficient * one.scale * one.gate_on(by);
        if (scale == 0) continue;
        const at::Tensor difference =
            tuned_[tuned].at(by).to(at::kFloat) - base_.at(by).to(at::kFloat);
        sum = sum + difference * static_cast<float>(scale);
      }
    }
    const at::Tensor moved = sum.ne(start).logical_and(start.eq(start));
    return at::where(moved, sum.to(original.scalar_type()), original);
  }

  void apply() {
    Applied one = draw();
    one.edit = live_->apply(vector_of(one), one.scale);
    applied_.push_back(std::move(one));
  }

  // One vector for another in one change. The new one stands last.
  void swap(Applied& old) {
    Applied one = draw();
    live_->change([&](LiveChange& change) {
      change.undo(old.edit);
      one.edit = change.apply(vector_of(one), one.scale);
    });
    EXPECT_FALSE(old.edit.applied());
    applied_.erase(applied_.begin() + (&old - applied_.data()));
    applied_.push_back(std::move(one));
  }

  void undo(std::size_t index) {
    if (random_() % 2 == 0) applied_[index].edit.undo();
    applied_.erase(applied_.begin() + static_cast<std::ptrdiff_t>(index));  // or its end does it
  }

  Applied draw() {
    Applied one;
    one.terms.emplace_back(1, random_() % tuned_.size());
    if (random_() % 3 == 0) one.terms.emplace_back(-0.5, random_() % tuned_.size());
    one.scale = scale();
    return one;
  }

  TaskVector vector_of(const Applied& one) const {
    TaskVector sum;
    for (const auto& [coefficient, tuned] : one.terms)
      sum = sum + coefficient * TaskVector::difference(tuned_[tuned], base_);
    return sum;
  }

  double scale() {
    constexpr double kScales[] = {0, 1, -1, 0.5, 0.3, 1.0 / 3, -2.75, 1e-3, 1e3};
    return kScales[random_() % std::size(kScales)];
  }
  Selection mask() {
    constexpr const char* kMasks[] = {"layer=0", "block=mlp", "!block=embedding", "block=head",
                                      "module=q_proj | layer=1"};
    const std::size_t drawn = random_() % (std::size(kMasks) + 1);
    return drawn < std::size(kMasks) ? Selection::parse(kMasks[drawn]) : Selection();
  }

  test::TempDir dir_;
  std::mt19937_64 random_;
  StateDict weights_, originals_, base_;
  std::vector<StateDict> tuned_;
  std::optional<LiveWeights> live_;
  std::vector<Applied> applied_;
};

void run(at::ScalarType type, at::Device device, bool rereads, int steps) {
  RandomEdits edits(type, device, rereads, static_cast<std::uint64_t>(type) + (rereads ? 100 : 0));
  for (int i = 0; i < steps; ++i) {
    edits.step();
    ASSERT_TRUE(edits.holds_what_torch_says()) << "after step " << i;
  }
  EXPECT_GE(edits.live().version(), static_cast<std::uint64_t>(steps));
  edits.undo_all();
  EXPECT_TRUE(edits.holds_the_originals());
  EXPECT_EQ(edits.live().kept_bytes(), 0u);
  EXPECT_EQ(edits.live().failure(), "");
}

class LiveWeightsProperty : public testing::TestWithParam<at::ScalarType> {};

TEST_P(LiveWeightsProperty, TenThousandChangesLeaveNothing) {
  run(GetParam(), at::kCPU, false, 10000);
}

TEST_P(LiveWeightsProperty, TenThousandChangesLeaveNothingOfReadWeights) {
  run(GetParam(), at::kCPU, true, 10000);
}

TEST_P(LiveWeightsProperty, TenThousandChangesLeaveNothingOnAGpu) {
  if (const std::string reason = test::why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  run(GetParam(), at::Device(at::kCUDA, 0), false, 10000);
}

INSTANTIATE_TEST_SUITE_P(, LiveWeightsProperty,
                         testing::Values(at::kBFloat16, at::kHalf, at::kFloat),
                         [](const auto& type) { return std::string(c10::toString(type.param)); });

}  // namespace
}  // namespace suture
