#include "stream/state_dict_archive.h"

#include <atomic>
#include <csignal>
#include <cstring>
#include <string>
#include <sys/resource.h>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/in_child.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::holds;
using test::read_file;
using test::TempDir;
using test::thrown_by;

// Saves `weights` and says where in the file each tensor stands.
std::vector<TensorInfo> places(const StateDict& weights, const fs::path& path) {
  save(weights, path.string());
  return Checkpoint::open(path.string()).tensors();
}

const TensorInfo& find(const std::vector<TensorInfo>& tensors, const std::string& name) {
  for (const TensorInfo& tensor : tensors)
    if (tensor.name == name) return tensor;
  throw std::out_of_range(name);
}

TEST(SaveTorchArchive, SharesWhatIsShared) {
  const TempDir dir;
  StateDict weights;
  const at::Tensor matrix = at::arange(1 << 16, at::kFloat).view({256, 256});
  weights.set("head", matrix);
  weights.set("embedding", matrix);
  weights.set("row", matrix[7]);
  weights.set("turned", matrix.t());
  weights.set("own", matrix.clone());
  const auto tensors = places(weights, dir / "m.pt");
  const std::uint64_t at = find(tensors, "head").offset;
  EXPECT_EQ(find(tensors, "embedding").offset, at);
  EXPECT_EQ(find(tensors, "row").offset, at + 7 * 256 * 4);
  EXPECT_EQ(find(tensors, "turned").offset, at);
  EXPECT_EQ(find(tensors, "turned").strides, (std::vector<std::int64_t>{1, 256}));
  EXPECT_NE(find(tensors, "own").offset, at);
  EXPECT_LT(fs::file_size(dir / "m.pt"), 2 * matrix.nbytes() + 8192);
  const StateDict read = load((dir / "m.pt").string());
  for (const auto& [name, tensor] : weights) EXPECT_TRUE(at::equal(read.at(name), tensor)) << name;
}

TEST(SaveTorchArchive, LeavesOutWhatNoTensorNeeds) {
  const TempDir dir;
  const at::Tensor large = at::arange(1 << 20, at::kFloat).view({1024, 1024});
  StateDict weights;
  weights.set("first", large[0]);
  weights.set("last", large[1023]);
  weights.set("column", large.select(1, 3));
  weights.set("gap", large.slice(0, 10, 13, 2));
  // The column spans the rows, so all of it is one storage.
  save(weights, (dir / "spanned.pt").string());
  EXPECT_GT(fs::file_size(dir / "spanned.pt"), large.nbytes() - 8192);
  StateDict rows;
  for (const char* name : {"first", "last"}) rows.set(name, weights.at(name));
  save(rows, (dir / "rows.pt").string());
  EXPECT_LT(fs::file_size(dir / "rows.pt"), 20'000u);
  StateDict gap;
  gap.set("gap", weights.at("gap"));
  save(gap, (dir / "gap.pt").string());
  EXPECT_LT(fs::file_size(dir / "gap.pt"), 20'000u);
  for (const char* name : {"spanned.pt", "rows.pt", "gap.pt"}) {
    for (const auto& [tensor_name, tensor] : load((dir / name).string()))
      EXPECT_TRUE(at::equal(tensor, weights.at(tensor_name))) << name << " " << tensor_name;
  }
}

TEST(SaveTorchArchive, WritesWhatCannotStayAViewDensely) {
  const TempDir dir;
  const at::Tensor base = at::arange(12, at::kFloat);
  const at::Tensor numbers = at::view_as_complex(base.view({6, 2}));
  StateDict weights;
  weights.set("base", base);
  weights.set("expanded", base.narrow(0, 2, 3).expand({7, 3}));
  weights.set("windows", base.unfold(0, 4, 1));
  weights.set("conjugate", numbers.conj());
  weights.set("negative", at::imag(numbers.conj()));
  weights.set("other dtype", base.view(at::kInt));
  weights.set("empty", base.narrow(0, 5, 0));
  const auto tensors = places(weights, dir / "m.pt");
  for (const char* name : {"expanded", "windows", "conjugate", "negative", "empty"})
    EXPECT_TRUE(find(tensors, name).strides.empty()) << name;
  EXPECT_NE(find(tensors, "other dtype").offset, find(tensors, "base").offset);
  const StateDict read = load((dir / "m.pt").string());
  for (const auto& [name, tensor] : weights) EXPECT_TRUE(at::equal(read.at(name), tensor)) << name;
}

// Many pieces of a tensor that must be copied first.
TEST(SaveTorchArchive, KeepsALargeViewWithGaps) {
  const TempDir dir;
  StateDict weights;
  weights.set("even", at::arange(6'000'001, at::kInt).slice(0, 0, 6'000'001, 2));
  for (const unsigned threads : {1u, 5u}) {
    SaveOptions options;
    options.run.threads = threads;
    options.replace_existing = true;
    save(weights, (dir / "m.pt").string(), options);
    EXPECT_TRUE(at::equal(load((dir / "m.pt").string()).at("even"), weights.at("even")));
  }
}

TEST(SaveTorchArchive, WritesTheSameBytesUnderAnyName) {
  const TempDir dir;
  StateDict weights;
  weights.set("w", at::ones({3}));
  save(weights, (dir / "a.pt").string());
  save(weights, (dir / "Übung 2.pth").string());
  EXPECT_EQ(read_file(dir / "a.pt"), read_file(dir / "Übung 2.pth"));
}

TEST(SaveTorchArchive, RefusesMetadataThatItCannotKeep) {
  const TempDir dir;
  StateDict weights;
  weights.set("w", at::ones({1}));
  SaveOptions options;
  options.metadata["step"] = "7";
  const std::string message =
      thrown_by<UsageError>([&] { save(weights, (dir / "m.pt").string(), options); });
  EXPECT_TRUE(holds(message, "metadata"));
  EXPECT_TRUE(holds(message, "m.pt"));
  EXPECT_TRUE(fs::is_empty(dir.path()));
  options.metadata.clear();
  save(weights, (dir / "m.pt").string(), options);
}

TEST(SaveTorchArchive, RefusesWhatHasNoElementsInMemory) {
  const TempDir dir;
  const at::Tensor kinds[] = {at::Tensor(), at::ones({2, 2}).to_sparse(),
                              at::empty({2}, at::TensorOptions(at::kMeta)),
                              at::ones({2}, at::kComplexDouble)};
  for (const char* file : {"m.pt", "m.safetensors"}) {
    for (const at::Tensor& tensor : kinds) {
      StateDict weights;
      weights.set("w", tensor);
      const std::string message =
          thrown_by<UsageError>([&] { save(weights, (dir / file).string()); });
      EXPECT_TRUE(test::is_one_plain_line(message));
    }
  }
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(SaveTorchArchive, RefusesANameThatIsNotUtf8) {
  const TempDir dir;
  StateDict weights;
  weights.set("\xFF", at::ones({1}));
  thrown_by<FormatError>([&] { save(weights, (dir / "m.pt").string()); });
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(SaveTorchArchive, LeavesNothingOnAFullDisk) {
  const TempDir dir;
  StateDict weights;
  weights.set("w", at::zeros({1 << 16}));
  const int code = test::in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 98;
    SaveOptions options;
    options.run.threads = 1;
    try {
      save(weights, (dir / "m.pt").string(), options);
    } catch (const IoError&) {
      return 3;
    }
    return 0;
  });
  EXPECT_EQ(code, 3);
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(SaveTorchArchive, ReportsEveryByteAndStopsWhenTold) {
  const TempDir dir;
  StateDict weights;
  for (int i = 0; i < 3; ++i) weights.set(std::to_string(i), at::zeros({1000}));
  Progress last;
  SaveOptions options;
  options.run.on_progress = [&](const Progress& progress) { last = progress; };
  save(weights, (dir / "m.pt").string(), options);
  EXPECT_EQ(last.bytes_done, fs::file_size(dir / "m.pt"));
  EXPECT_EQ(last.bytes_total, last.bytes_done);

  const std::atomic<bool> cancel = true;
  options.run.cancel = &cancel;
  StateDict copied;
  copied.set("gaps", at::zeros({100, 2}).select(1, 0));
  for (const StateDict& each : {weights, copied, StateDict()})
    EXPECT_THROW(save(each, (dir / "stopped.pt").string(), options), Interrupted);
  EXPECT_FALSE(fs::exists(dir / "stopped.pt"));
}

}  // namespace
}  // namespace suture
