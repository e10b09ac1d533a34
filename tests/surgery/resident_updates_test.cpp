#include "surgery/resident_updates.h"

#include <string>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/state_dict.h"
#include "suture/task_vector.h"

#include "support/cuda_machine.h"
#include "support/tensor_bytes.h"
#include "support/tiny_model.h"

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
