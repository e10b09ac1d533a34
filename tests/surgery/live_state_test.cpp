#include "surgery/live_state.h"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <utility>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::thrown_by;

// What becomes of edits when changes fail, and of those that nobody holds any more.
class LiveStateTest : public testing::Test {
 protected:
  LiveStateTest() { weights_.set("w", at::ones({4})); }

  static TaskVector adding(double value, const std::string& name = "w") {
    StateDict deltas;
    deltas.set(name, at::full({4}, value));
    return TaskVector::from(deltas);
  }
  float value() const { return weights_.at("w")[0].item<float>(); }

  StateDict weights_;
};

TEST_F(LiveStateTest, AnObjectThatWasGivenANewEditInAFailedChangeStandsForTheOldOne) {
  LiveWeights live(weights_);
  LiveEdit present = live.apply(adding(1));
  const auto swap = [&](bool fails) {
    live.change([&](LiveChange& change) {
      change.undo(present);
      present = change.apply(adding(5));
      if (fails) present = change.apply(adding(7));
      if (fails) throw std::runtime_error("no");
    });
  };
  EXPECT_THROW(swap(true), std::runtime_error);
  EXPECT_TRUE(present.applied());
  EXPECT_EQ(value(), 2);
  EXPECT_EQ(live.failure(), "");
  const LiveEdit other = live.apply(adding(100));
  EXPECT_EQ(value(), 102);
  swap(false);
  EXPECT_EQ(value(), 106);
  present.undo();
  EXPECT_EQ(value(), 101);
}

TEST_F(LiveStateTest, AnObjectThatEndsInAFailedChangeIsToldAndEndsWithTheNext) {
  LiveWeights live(weights_);
  auto edit = std::make_unique<LiveEdit>(live.apply(adding(1)));
  EXPECT_THROW(live.change([&](LiveChange&) {
    edit.reset();
    throw UsageError({{}, {}, "no", {}, {}});
  }),
               UsageError);
  EXPECT_EQ(value(), 2);
  EXPECT_TRUE(holds(live.failure(), "no"));
  live.change([](LiveChange&) {});
  EXPECT_EQ(value(), 1);
  EXPECT_EQ(live.failure(), "");
}

TEST_F(LiveStateTest, AnObjectThatEndsInABatchEndsWithTheBatch) {
  LiveWeights live(weights_);
  auto edit = std::make_unique<LiveEdit>(live.apply(adding(1)));
  {
    const LiveBatch batch = live.batch();
    edit.reset();
    EXPECT_EQ(value(), 2);
  }
  EXPECT_EQ(value(), 1);
  EXPECT_EQ(live.failure(), "");
}

TEST_F(LiveStateTest, NeitherCancellingNorTheEndOfAllLeavesAVectorBehind) {
  std::atomic<bool> cancel{false};
  {
    LiveOptions options;
    options.run.cancel = &cancel;
    LiveWeights live(weights_, options);
    const LiveEdit edit = live.apply(adding(1));
    EXPECT_EQ(value(), 2);
    cancel = true;
  }
  EXPECT_EQ(value(), 1);
}

TEST_F(LiveStateTest, TwoThatDoNotKnowOfEachOtherAreRefused) {
  LiveWeights one(weights_), other(weights_);
  {
    const LiveEdit edit = one.apply(adding(1));
    EXPECT_TRUE(
        holds(thrown_by<UsageError>([&] { (void)other.apply(adding(2)); }), "another LiveWeights"));
    EXPECT_EQ(value(), 2);
  }
  const LiveEdit edit = other.apply(adding(2));
  EXPECT_EQ(value(), 3);
}

TEST_F(LiveStateTest, EveryTermOfASumReachesTiedTensorsByTheNameThatItHas) {
  weights_.set("tied", weights_.at("w"));
  const TaskVector both = adding(1) + adding(10, "tied");
  {
    LiveWeights live(weights_);
    const LiveEdit edit = live.apply(both);
    EXPECT_EQ(value(), 12);
    StateDict copy;
    copy.set("w", at::ones({4}));
    copy.set("tied", copy.at("w"));
    live.vector().apply_to(copy);
    EXPECT_TRUE(at::equal(copy.at("w"), weights_.at("w")));
  }
  StateDict deltas;  // of one vector the first of its names, which mostly say the same
  deltas.set("tied", at::full({4}, 3.0));
  deltas.set("w", at::full({4}, 3.0));
  TaskVector::from(deltas).apply_to(weights_);
  EXPECT_EQ(value(), 4);
}

TEST_F(LiveStateTest, WeightsOfAnotherSizeAreRefused) {
  LiveWeights live(weights_);
  LiveEdit edit = live.apply(adding(1));
  const at::Tensor weight = weights_.at("w");
  weight.resize_({2});
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { edit.undo(); }), "another size"));
  weight.resize_({4});
  edit.undo();
  EXPECT_EQ(weight.sum().item<float>(), 4);
}

TEST_F(LiveStateTest, ScalesThatFloat32CannotHoldAreRefused) {
  LiveWeights live(weights_);
  EXPECT_TRUE(
      holds(thrown_by<UsageError>([&] { (void)live.apply(adding(1), 1e39); }), "scale of 1e+39"));
  LiveEdit edit = live.apply(adding(1), 1e30);
  EXPECT_THROW(edit.scale_layers({1}, 1e30), UsageError);
  EXPECT_THROW((1e39 * adding(1)).norm(), UsageError);
  edit.undo();
  EXPECT_EQ(value(), 1);
}

TEST_F(LiveStateTest, AnEditIsNotReadWithinItsChange) {
  LiveWeights live(weights_);
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] {
                      live.change([&](LiveChange& change) { change.apply(adding(1)).scale(); });
                    }),
                    "change is not made yet"));
}

}  // namespace
}  // namespace suture
