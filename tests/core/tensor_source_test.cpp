#include "core/tensor_source.h"

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "support/safetensors_builder.h"
#include "support/temp_dir.h"

namespace suture {
namespace {

template <typename T>
std::vector<T> read_all(const TensorSource& source, const std::string& name) {
  const TensorInfo& info = *source.find(name);
  std::vector<T> values(info.elements);
  source.read(info, 0, info.bytes, values.data());
  return values;
}

TEST(TensorSource, OfAStateDictKeepsOrderNamesAndShapes) {
  StateDict weights;
  weights.set("z", at::ones({2, 3}));
  weights.set("a", at::zeros({}, at::kLong));
  const SourcePtr source = make_source(weights, "mine");
  EXPECT_EQ(source->name(), "mine");
  ASSERT_EQ(source->tensors().size(), 2u);
  EXPECT_EQ(source->tensors()[0].name, "z");
  EXPECT_EQ(source->tensors()[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(source->tensors()[1].dtype, Dtype::kI64);
  EXPECT_EQ(source->find("a"), &source->tensors()[1]);
  EXPECT_EQ(source->find("b"), nullptr);
  EXPECT_EQ(source->checkpoint(), nullptr);
  EXPECT_NO_THROW(source->verify_unchanged());
}

TEST(TensorSource, ReadsAnyRangeOfATensorInMemory) {
  StateDict weights;
  weights.set("w", at::arange(10, at::kFloat));
  const SourcePtr source = make_source(weights, "mine");
  std::vector<float> part(3);
  source->read(*source->find("w"), 4 * sizeof(float), 3 * sizeof(float), part.data());
  EXPECT_EQ(part, (std::vector<float>{4, 5, 6}));
}

TEST(TensorSource, ReadsStridedTensorsInRowMajorOrder) {
  StateDict weights;
  weights.set("t", at::arange(6, at::kFloat).view({2, 3}).t());
  weights.set("s", at::arange(10, at::kFloat).slice(0, 1, 10, 3));
  weights.set("e", at::ones({1}).expand({4}));
  const SourcePtr source = make_source(weights, "mine");
  EXPECT_EQ(read_all<float>(*source, "t"), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(read_all<float>(*source, "s"), (std::vector<float>{1, 4, 7}));
  EXPECT_EQ(read_all<float>(*source, "e"), (std::vector<float>{1, 1, 1, 1}));
}

// LibTorch only marks such views; their memory holds other numbers.
TEST(TensorSource, ReadsConjugateAndNegativeViewsAsTheyRead) {
  const at::Tensor z = at::complex(at::arange(1, 4, at::kFloat), at::arange(4, 7, at::kFloat));
  StateDict weights;
  weights.set("conjugate", z.conj());
  weights.set("negative", at::imag(z.conj()));
  const SourcePtr source = make_source(weights, "mine");
  EXPECT_EQ(read_all<c10::complex<float>>(*source, "conjugate")[0], (c10::complex<float>{1, -4}));
  EXPECT_EQ(read_all<float>(*source, "negative"), (std::vector<float>{-4, -5, -6}));
}

TEST(TensorSource, SharesTheStateDictsMemory) {
  StateDict weights;
  weights.set("w", at::zeros({2}));
  const SourcePtr source = make_source(weights, "mine");
  weights.at("w").fill_(7);
  EXPECT_EQ(read_all<float>(*source, "w"), (std::vector<float>{7, 7}));
}

TEST(TensorSource, OfACheckpointReadsTheFile) {
  const test::TempDir dir;
  test::SafetensorsBuilder().add("w", {1, 2, 3}).write(dir / "m.safetensors");
  const Checkpoint checkpoint = Checkpoint::open((dir / "m.safetensors").string());
  const SourcePtr source = make_source(checkpoint);
  EXPECT_EQ(source->name(), checkpoint.name());
  EXPECT_NE(source->checkpoint(), nullptr);
  EXPECT_EQ(read_all<float>(*source, "w"), (std::vector<float>{1, 2, 3}));
}

}  // namespace
}  // namespace suture
