#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/state_dict.h"

#include "core/scalar_type.h"
#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/thrown.h"
#include "support/tiny_model.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::holds;
using test::read_file;
using test::TempDir;
using test::thrown_by;

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  return x.scalar_type() == y.scalar_type() && x.sizes() == y.sizes() &&
         (x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0);
}

void expect_same(const StateDict& found, const StateDict& expected) {
  EXPECT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_TRUE(same_bytes(found.at(name), tensor)) << name;
  }
}

// Every dtype that both sides have, with every byte value in it.
StateDict every_dtype() {
  StateDict weights;
  const at::Tensor bytes = at::arange(256, at::kLong).to(at::kByte);
  for (int i = 0; i <= static_cast<int>(Dtype::kU64); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    const auto type = scalar_type_of(dtype);
    if (!type) continue;
    weights.set(std::string(name_of(dtype)),
                dtype == Dtype::kBool ? at::ones({3}, at::kBool) : bytes.view(*type));
  }
  return weights;
}

constexpr const char* kFileNames[] = {"m.safetensors", "m.pt", "m.pth"};

TEST(SaveAndLoad, KeepEveryDtypeToTheByte) {
  const TempDir dir;
  const StateDict weights = every_dtype();
  for (const char* name : kFileNames) {
    save(weights, (dir / name).string());
    EXPECT_TRUE(fs::is_regular_file(dir / name));
    expect_same(load((dir / name).string()), weights);
  }
}

TEST(SaveAndLoad, KeepScalarsEmptyTensorsAndHostileNames) {
  const TempDir dir;
  StateDict weights;
  weights.set("scalar", at::full({}, 2.5f));
  weights.set("empty", at::empty({0, 7}));
  weights.set("quote\" newline\n and \xE2\x80\xAE", at::ones({2}));
  for (const char* name : kFileNames) {
    save(weights, (dir / name).string());
    expect_same(load((dir / name).string()), weights);
  }
}

TEST(SaveAndLoad, KeepAShardedModel) {
  const TempDir dir;
  const StateDict weights = test::make_weights({}, 1);
  SaveOptions options;
  options.max_shard_bytes = 4000;
  save(weights, (dir / "model").string(), options);
  EXPECT_TRUE(fs::exists(dir / "model" / "model.safetensors.index.json"));
  EXPECT_GT(Checkpoint::open((dir / "model").string()).files().size(), 2u);
  expect_same(load((dir / "model").string()), weights);
}

// More than one piece of the pass, and no multiple of it.
TEST(SaveAndLoad, KeepATensorOfManyPieces) {
  const TempDir dir;
  StateDict weights;
  weights.set("big", at::arange(5'000'001, at::kInt));
  for (const std::string extension : {".safetensors", ".pt"}) {
    for (const unsigned threads : {1u, 2u, 7u}) {
      const std::string path = (dir / (std::to_string(threads) + extension)).string();
      SaveOptions options;
      options.run.threads = threads;
      save(weights, path, options);
      expect_same(load(path, at::kCPU, options.run), weights);
      EXPECT_EQ(read_file(path), read_file(dir / ("1" + extension)));
    }
  }
}

TEST(SaveAndLoad, WriteStridedTensorsDensely) {
  const TempDir dir;
  StateDict weights, dense;
  const at::Tensor matrix = at::arange(12, at::kFloat).view({3, 4});
  weights.set("t", matrix.t());
  weights.set("e", at::ones({1, 2}).expand({5, 2}));
  weights.set("g", at::zeros({3}).requires_grad_());
  for (const auto& [name, tensor] : weights) dense.set(name, tensor.detach().contiguous());
  save(weights, (dir / "a.safetensors").string());
  save(dense, (dir / "b.safetensors").string());
  EXPECT_EQ(read_file(dir / "a.safetensors"), read_file(dir / "b.safetensors"));
  expect_same(load((dir / "a.safetensors").string()), dense);
}

// The layout of Python's save_file, byte for byte.
TEST(Save, WritesTheBytesOfTheReferenceWriter) {
  const TempDir dir;
  StateDict weights;
  weights.set("b", at::full({2}, 1.f));
  weights.set("a", at::full({1}, 2.f));
  save(weights, (dir / "m.safetensors").string());
  std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})";
  header.append((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(read_file(dir / "m.safetensors"),
            test::safetensors_bytes(header, test::bytes_of_values<float>({2, 1, 1})));
}

TEST(Save, RefusesAnExistingOutputUnlessToldToReplaceIt) {
  const TempDir dir;
  StateDict weights;
  weights.set("w", at::ones({1}));
  for (const char* name : {"m.safetensors", "m.pt", "folder"}) {
    const std::string path = (dir / name).string();
    save(weights, path);
    const std::string message = thrown_by<UsageError>([&] { save(weights, path); });
    EXPECT_TRUE(holds(message, name));
    SaveOptions options;
    options.replace_existing = true;
    StateDict other;
    other.set("other", at::zeros({1}));
    save(other, path, options);
    EXPECT_TRUE(load(path).contains("other"));
  }
}

TEST(Save, RefusesANameThatSafetensorsReserves) {
  const TempDir dir;
  for (const char* name : {"", "__metadata__"}) {
    StateDict weights;
    weights.set(name, at::ones({1}));
    thrown_by<FormatError>([&] { save(weights, (dir / "m.safetensors").string()); });
  }
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(Save, CancelledLeavesNothing) {
  const TempDir dir;
  const std::atomic<bool> cancel = true;
  SaveOptions options;
  options.run.cancel = &cancel;
  for (const char* name : {"model", "m.safetensors", "m.pt"})
    EXPECT_THROW(save(test::make_weights({}, 1), (dir / name).string(), options), Interrupted);
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(Load, RefusesADtypeThatLibTorchCannotHold) {
  const TempDir dir;
  test::SafetensorsBuilder().add("w", Dtype::kF6E2M3, {4}, "abc").write(dir / "m.safetensors");
  const std::string message =
      thrown_by<UsageError>([&] { load((dir / "m.safetensors").string()); });
  EXPECT_TRUE(holds(message, "F6_E2M3"));
  EXPECT_TRUE(holds(message, "'w'"));
}

TEST(Load, RefusesADeviceThatIsNotThere) {
  const TempDir dir;
  test::SafetensorsBuilder().add("w", {1}).write(dir / "m.safetensors");
  thrown_by<UsageError>([&] { load((dir / "m.safetensors").string(), at::Device(at::kCUDA, 99)); });
}

TEST(Load, ReportsEveryByteRead) {
  const TempDir dir;
  save(test::make_weights({}, 1), (dir / "m.safetensors").string());
  const Checkpoint checkpoint = Checkpoint::open((dir / "m.safetensors").string());
  Progress last;
  RunOptions options;
  options.on_progress = [&](const Progress& progress) { last = progress; };
  load(checkpoint, at::kCPU, options);
  EXPECT_EQ(last.bytes_done, checkpoint.total_bytes());
  EXPECT_EQ(last.bytes_total, checkpoint.total_bytes());
}

}  // namespace
}  // namespace suture
