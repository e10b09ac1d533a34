#include "stream/weights_store.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "format/checkpoint_access.h"
#include "support/temp_dir.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"

namespace suture::stream {
namespace {

using test::holds;
using test::same_bits;
using test::thrown_by;

StateDict sample() {
  StateDict weights;
  weights.set("a", at::arange(12, at::kFloat).view({3, 4}));
  weights.set("b", at::arange(5, at::kHalf));
  weights.set("turned", at::arange(12, at::kFloat).view({3, 4}).t());
  weights.set("scalar", at::full({}, 3.0f));
  weights.set("empty", at::zeros({0, 4}));
  weights.set("long", at::arange(3, at::kLong));
  return weights;
}

template <class T>
void put(WeightsStore& store, const TensorInfo& place, std::size_t first,
         const std::vector<T>& values) {
  store.write(place, first * sizeof(T), values.data(), values.size() * sizeof(T));
}

TEST(WeightsInMemory, WritesInPlaceWhereTheTensorLives) {
  StateDict weights = sample();
  const void* memory = weights.at("a").const_data_ptr();
  WeightsInMemory store(weights);
  const auto places = store.open({"a", "long"});
  ASSERT_EQ(places.size(), 2u);
  EXPECT_EQ(places.at("a")->dtype, Dtype::kF32);
  EXPECT_EQ(places.at("a")->elements, 12u);
  EXPECT_EQ(places.at("a")->shape, (std::vector<std::int64_t>{3, 4}));
  put<float>(store, *places.at("a"), 2, {-1, -2});
  put<float>(store, *places.at("a"), 11, {-3});
  put<std::int64_t>(store, *places.at("long"), 1, {77});
  store.close();
  at::Tensor expected = at::arange(12, at::kFloat);
  expected[2] = -1;
  expected[3] = -2;
  expected[11] = -3;
  EXPECT_EQ(weights.at("a").const_data_ptr(), memory);
  EXPECT_TRUE(same_bits(weights.at("a"), expected.view({3, 4})));
  EXPECT_EQ(weights.at("long")[1].item<std::int64_t>(), 77);
  EXPECT_TRUE(same_bits(weights.at("b"), sample().at("b")));
}

// Dense bytes in row-major order, however the weight lies in memory.
TEST(WeightsInMemory, WritesTensorsThatAreNotContiguous) {
  StateDict weights = sample();
  WeightsInMemory store(weights);
  const auto places = store.open({"turned"});
  EXPECT_EQ(places.at("turned")->shape, (std::vector<std::int64_t>{4, 3}));
  std::vector<float> values(12);
  for (std::size_t i = 0; i < 12; ++i) values[i] = static_cast<float>(100 + i);
  put<float>(store, *places.at("turned"), 0, values);
  store.close();
  EXPECT_FALSE(weights.at("turned").is_contiguous());
  EXPECT_TRUE(same_bits(weights.at("turned"), at::arange(100, 112, at::kFloat).view({4, 3})));
}

TEST(WeightsInMemory, TakesEmptyTensorsScalarsAndWeightsThatWantGradients) {
  StateDict weights = sample();
  weights.set("learns", at::zeros({2}).set_requires_grad(true));
  weights.set("turned and learns", at::zeros({2, 3}).t().set_requires_grad(true));
  WeightsInMemory store(weights);
  const auto places = store.open({"empty", "scalar", "learns", "turned and learns"});
  store.write(*places.at("empty"), 0, nullptr, 0);
  put<float>(store, *places.at("scalar"), 0, {9});
  put<float>(store, *places.at("learns"), 0, {1, 2});
  put<float>(store, *places.at("turned and learns"), 0, {1, 2, 3, 4, 5, 6});
  store.close();
  EXPECT_EQ(weights.at("scalar").item<float>(), 9);
  EXPECT_EQ(weights.at("learns")[1].item<float>(), 2);
  EXPECT_EQ(weights.at("turned and learns")[2][1].item<float>(), 6);
}

TEST(WeightsInMemory, CopiesBytesOfAFile) {
  test::TempDir dir;
  test::write_file(dir / "bytes", std::string(4, 'x') + std::string(8, '\0'));
  const format::File file = format::File::open(dir / "bytes");
  StateDict weights = sample();
  WeightsInMemory store(weights);
  const auto places = store.open({"a", "turned"});
  store.copy(*places.at("a"), 4, file, 4, 8);
  store.copy(*places.at("a"), 0, file, 0, 0);
  store.close();
  EXPECT_EQ(weights.at("a")[0][0].item<float>(), 0);
  EXPECT_EQ(weights.at("a")[0][1].item<float>(), 0);
  EXPECT_EQ(weights.at("a")[0][2].item<float>(), 0);
  EXPECT_EQ(weights.at("a")[0][3].item<float>(), 3);
}

TEST(WeightsInMemory, ForgetsWhatWasBegunAndNotClosed) {
  StateDict weights = sample();
  WeightsInMemory store(weights);
  put<float>(store, *store.open({"turned"}).at("turned"), 0, {50});
  store.open({"b"});
  store.close();
  EXPECT_TRUE(same_bits(weights.at("turned"), sample().at("turned")));
}

TEST(WeightsInMemory, RefusesATensorThatIsNotThere) {
  WeightsInMemory store(sample());
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { store.open({"a", "none"}); }), "none"));
}

class OnDisk : public testing::Test {
 protected:
  // Contiguous ones only: what is not in memory is not a matter of strides.
  OnDisk() {
    SaveOptions options;
    options.max_shard_bytes = 60;
    save(sample(), folder(), options);
  }
  std::string folder() const { return (dir_ / "model").string(); }

  test::TempDir dir_;
};

TEST_F(OnDisk, WritesOverBytesOfEveryShardAndNoOthers) {
  const Checkpoint files = Checkpoint::open(folder());
  ASSERT_GT(files.files().size(), 1u);
  StateDict expected = load(folder());
  {
    WeightsOnDisk store(files);
    const auto places = store.open({"a", "b", "scalar", "empty"});
    put<float>(store, *places.at("a"), 5, {-1, -2});
    put<float>(store, *places.at("scalar"), 0, {11});
    store.write(*places.at("empty"), 0, nullptr, 0);
    store.close();
  }
  expected.at("a").view({12})[5] = -1;
  expected.at("a").view({12})[6] = -2;
  expected.at("scalar").fill_(11);
  EXPECT_TRUE(same_bits(load(folder()), expected));
}

TEST_F(OnDisk, CopiesBytesOfAnotherFile) {
  StateDict other = sample();
  other.at("a").neg_();
  save(other, (dir_ / "other.safetensors").string());
  const Checkpoint from = Checkpoint::open((dir_ / "other.safetensors").string());
  const TensorInfo& source = *from.find("a");
  WeightsOnDisk store(Checkpoint::open(folder()));
  const auto places = store.open({"a"});
  store.copy(*places.at("a"), 8, CheckpointAccess::file(from, source.file), source.offset + 8, 40);
  StateDict expected = load(folder());
  at::Tensor wanted = sample().at("a").neg().view({12});
  wanted.narrow(0, 0, 2).copy_(sample().at("a").view({12}).narrow(0, 0, 2));
  EXPECT_TRUE(same_bits(load(folder()).at("a"), wanted.view({3, 4})));
  EXPECT_TRUE(same_bits(load(folder()).at("b"), sample().at("b")));
}

TEST_F(OnDisk, RefusesWhatIsNotThere) {
  WeightsOnDisk store(Checkpoint::open(folder()));
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { store.open({"none"}); }), "none"));
  const Checkpoint files = Checkpoint::open(folder());
  std::filesystem::remove(files.files().front());
  const std::string message = thrown_by<IoError>([&] { WeightsOnDisk gone(files); });
  EXPECT_TRUE(holds(message, files.files().front().string()));
}

}  // namespace
}  // namespace suture::stream
