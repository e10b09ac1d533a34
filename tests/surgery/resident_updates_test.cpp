#include "surgery/resident_updates.h"

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/state_dict.h"
#include "suture/task_vector.h"

#include "support/cuda_machine.h"
#include "support/temp_dir.h"
#include "support/tensor_bytes.h"
#include "support/tiny_model.h"
#include "surgery/measure_resident.h"

namespace suture {
namespace {

using test::same_bits;

TEST(AddressRanges, OverlapByASingleByte) {
  const std::string bytes(100, ' ');
  const char* memory = bytes.data();
  AddressRanges ranges;
  EXPECT_FALSE(ranges.overlap(memory, 100));
  ranges.add(memory + 10, 10);
  ranges.add(memory + 40, 10);
  EXPECT_FALSE(ranges.overlap(memory, 10));
  EXPECT_TRUE(ranges.overlap(memory, 11));
  EXPECT_TRUE(ranges.overlap(memory + 19, 1));
  EXPECT_FALSE(ranges.overlap(memory + 20, 20));
  EXPECT_TRUE(ranges.overlap(memory + 20, 21));
  EXPECT_TRUE(ranges.overlap(memory, 100));
  EXPECT_FALSE(ranges.overlap(memory + 15, 0));
  ranges.clear();
  EXPECT_FALSE(ranges.overlap(memory, 100));
}

TEST(AddressRanges, JoinsWhatOverlaps) {
  const std::string bytes(100, ' ');
  const char* memory = bytes.data();
  AddressRanges ranges;
  ranges.add(memory + 10, 10);
  ranges.add(memory + 30, 10);
  ranges.add(memory + 15, 20);  // reaches into both
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ranges.overlap(memory + i, 1), i >= 10 && i < 40) << i;
  ranges.add(memory + 12, 3);  // inside
  ranges.add(memory + 5, 60);  // around
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ranges.overlap(memory + i, 1), i >= 5 && i < 65) << i;
}

TEST(ResidentUpdates, LeavesWeightsOnTheCpuToTheCpu) {
  const RunOptions options;
  ResidentUpdates updates(options);
  EXPECT_FALSE(updates.can_take(at::zeros({3})));
  updates.run();
}

// The whole of it, with the kernels played on the CPU.
class PlayedUpdates : public testing::Test {
 protected:
  static const kernels::CudaBackend& backend() {
    static const kernels::CudaBackend played = kernels::load_cuda_backend({PLAYED_CUDA});
    return played;
  }
  static ResidentMachine machine() { return {c10::DeviceType::CPU, &backend()}; }

  static void apply(const TaskVector& vector, StateDict& weights, const RunOptions& options = {}) {
    ResidentUpdates updates(options, machine());
    for (const std::string& name : vector.names()) {
      ASSERT_TRUE(updates.can_take(weights.at(name)));
      updates.add(weights.at(name), active_terms(vector.form(), name));
    }
    updates.run();
  }
  static StateDict make(unsigned seed) { return test::make_weights(test::TinyModel(), seed); }
};

TEST_F(PlayedUpdates, ResidentOperandsAreUsedWhereTheyAre) {
  const TaskVector vector = 0.7 * TaskVector::difference(make(1), make(2)) -
                            0.1 * TaskVector::difference(make(4), make(2));
  StateDict found = make(3), expected = found.clone();
  apply(vector, found);
  vector.apply_to(expected);
  EXPECT_TRUE(same_bits(found, expected));
}

TEST_F(PlayedUpdates, OperandsOnDiskAreSentTileByTile) {
  const test::TempDir dir;
  StateDict big;  // several tiles of the smallest budget
  big.set("w", at::randn({3, 70'001}).to(at::kBFloat16));
  save(big, (dir / "big.safetensors").string());
  const TaskVector stored =
      TaskVector::difference(Checkpoint::open((dir / "big.safetensors").string()),
                             Checkpoint::open((dir / "big.safetensors").string()));
  StateDict other;
  other.set("w", at::randn({3, 70'001}));
  StateDict found = big.clone(), expected = big.clone();
  const TaskVector vector = TaskVector::from(other) + stored + TaskVector::from(big);
  RunOptions options;
  options.memory_budget_bytes = 1;
  options.threads = 3;
  apply(vector, found, options);
  vector.apply_to(expected);
  EXPECT_TRUE(same_bits(found, expected));
}

TEST_F(PlayedUpdates, StridedWeightsAreCopiedThereAndBack) {
  StateDict deltas, weights;
  deltas.set("a", at::ones({3, 4}));
  deltas.set("b", at::ones({5}));
  const at::Tensor storage = at::zeros({4, 3}), dense = at::zeros({5});
  weights.set("b", dense);
  weights.set("a", storage.t());
  apply(TaskVector::from(deltas), weights);
  EXPECT_EQ(storage.sum().item<float>(), 12);
  EXPECT_EQ(dense.sum().item<float>(), 5);
}

// The second weight's operand is the first weight: it must be changed before it is read.
TEST_F(PlayedUpdates, WhatABatchWritesIsReadAfterIt) {
  const at::Tensor first = at::zeros({100}), second = at::zeros({100});
  StateDict deltas, weights;
  deltas.set("a", at::ones({100}));
  deltas.set("b", first);
  weights.set("a", first);
  weights.set("b", second);
  apply(TaskVector::from(deltas), weights);
  EXPECT_EQ(second.sum().item<float>(), 100);
}

TEST_F(PlayedUpdates, MissingKernelsAreNotedOnce) {
  std::vector<std::string> notes;
  RunOptions options;
  options.on_note = [&](const std::string& note) { notes.push_back(note); };
  const kernels::CudaBackend stub = kernels::load_cuda_backend({});
  ResidentUpdates updates(options, {c10::DeviceType::CPU, &stub});
  EXPECT_FALSE(updates.can_take(at::zeros({3})));
  EXPECT_FALSE(updates.can_take(at::zeros({3})));
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes.front().find("libsuture_cuda.so"), std::string::npos) << notes.front();
}

TEST_F(PlayedUpdates, MeasuresAreTheStreamingPasssBits) {
  const StateDict tuned = make(1), base = make(2), other = make(4);
  StateDict wide = make(5);
  wide.set("model.norm.weight", wide.at("model.norm.weight").to(at::kDouble));
  StateDict part;  // a vector without most tensors
  part.set("model.norm.weight", tuned.at("model.norm.weight"));
  const std::vector<MeasuredVector> vectors{
      {TaskVector::difference(tuned, base), make_source(base, "base")},
      {0.3 * TaskVector::difference(other, base) + TaskVector::difference(wide, tuned), nullptr},
      {TaskVector::from(part), make_source(wide, "wide")}};
  const std::vector<TensorMeasures> expected = measure(vectors, {});
  std::vector<TensorMeasures> found = expected;
  for (TensorMeasures& tensor : found) {
    for (auto& values : tensor.values) values = {};
    for (auto& pair : tensor.pairs) pair = {};
    for (double& squares : tensor.base_squares) squares = -1;
  }
  ASSERT_TRUE(measure_resident(vectors, found, {}, machine()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(expected[i].name);
    EXPECT_EQ(found[i].base_squares, expected[i].base_squares);
    for (std::size_t v = 0; v < vectors.size(); ++v) {
      EXPECT_EQ(found[i].values[v].count, expected[i].values[v].count);
      EXPECT_EQ(found[i].values[v].sum_of_squares, expected[i].values[v].sum_of_squares);
      EXPECT_EQ(found[i].values[v].histogram, expected[i].values[v].histogram);
    }
    for (std::size_t p = 0; p < expected[i].pairs.size(); ++p) {
      EXPECT_EQ(found[i].pairs[p].dot, expected[i].pairs[p].dot);
      EXPECT_EQ(found[i].pairs[p].same_sign, expected[i].pairs[p].same_sign);
    }
  }
}

// From here on a GPU is needed. What apply_to and the measures give on one must be what they give
// on the CPU.
class OnGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = test::why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  }
  static constexpr at::DeviceType kGpu = at::kCUDA;

  static StateDict make(unsigned seed, at::ScalarType dtype = at::kBFloat16) {
    test::TinyModel model;
    model.dtype = dtype;
    return test::make_weights(model, seed);
  }
};

TEST_F(OnGpu, AppliesAResidentVectorAsTheCpuDoes) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf, at::kFloat, at::kDouble}) {
    const StateDict tuned = make(1, dtype), base = make(2, dtype);
    StateDict on_cpu = make(3, dtype).clone(), on_gpu = on_cpu.to(at::Device(kGpu, 0));
    TaskVector::difference(tuned, base).apply_to(on_cpu, 0.7);
    TaskVector::difference(tuned.to(at::Device(kGpu, 0)), base.to(at::Device(kGpu, 0)))
        .apply_to(on_gpu, 0.7);
    EXPECT_TRUE(same_bits(on_gpu.to(at::kCPU), on_cpu));
  }
}

TEST_F(OnGpu, SendsOperandsThatLieElsewhere) {
  const StateDict tuned = make(1), base = make(2);
  StateDict on_cpu = make(3).clone(), on_gpu = on_cpu.to(at::Device(kGpu, 0));
  const TaskVector vector = TaskVector::difference(tuned, base);
  vector.apply_to(on_cpu, 0.7);
  vector.apply_to(on_gpu, 0.7);
  EXPECT_TRUE(same_bits(on_gpu.to(at::kCPU), on_cpu));
}

TEST_F(OnGpu, IsInPlaceForStridedAndTiedTensors) {
  const at::Tensor storage = at::zeros({4, 3}, at::TensorOptions(kGpu));
  StateDict deltas, weights;
  deltas.set("a", at::ones({3, 4}, at::TensorOptions(kGpu)));
  deltas.set("b", at::ones({3, 4}, at::TensorOptions(kGpu)));
  weights.set("a", storage.t());
  weights.set("b", storage.t());
  TaskVector::from(deltas).apply_to(weights);
  EXPECT_EQ(storage.sum().item<float>(), 12);
}

TEST_F(OnGpu, MeasuresTheCpusBits) {
  const StateDict tuned = make(1), base = make(2), other = make(4);
  const auto on_gpu = [](const StateDict& weights) { return weights.to(at::Device(kGpu, 0)); };
  const TaskVector cpu = TaskVector::difference(tuned, base),
                   cpu_other = TaskVector::difference(other, base);
  const TaskVector gpu = TaskVector::difference(on_gpu(tuned), on_gpu(base)),
                   gpu_other = TaskVector::difference(on_gpu(other), on_gpu(base));
  EXPECT_EQ(gpu.norm(), cpu.norm());
  EXPECT_EQ(gpu.norms().layers, cpu.norms().layers);
  EXPECT_EQ(gpu.dot(gpu_other), cpu.dot(cpu_other));
  EXPECT_EQ(gpu.cosines(gpu_other).layers, cpu.cosines(cpu_other).layers);
}

}  // namespace
}  // namespace suture
