#include "suture/checkpoint.h"

#include <cstdlib>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "format/checkpoint_access.h"
#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::bytes_of_values;
using test::holds;
using test::index_bytes;
using test::SafetensorsBuilder;
using test::TempDir;
using test::thrown_by;
using test::write_file;

const std::string kFirst = "model-00001-of-00002.safetensors";
const std::string kSecond = "model-00002-of-00002.safetensors";
const std::string kCommit = "0123456789abcdef0123456789abcdef01234567";

std::string read_part(const Checkpoint& checkpoint, const std::string& name, std::uint64_t begin,
                      std::size_t bytes) {
  std::string out(bytes, '?');
  checkpoint.read(*checkpoint.find(name), begin, bytes, out.data());
  return out;
}

// Tensors a and b in one shard, c in another.
void write_sharded(const fs::path& folder) {
  SafetensorsBuilder()
      .metadata("format", "pt")
      .add("a", {1, 2})
      .add("b", {3})
      .write(folder / kFirst);
  SafetensorsBuilder().metadata("other", "x").add("c", {4, 5, 6}).write(folder / kSecond);
  write_file(folder / "model.safetensors.index.json",
             index_bytes({{"a", kFirst}, {"b", kFirst}, {"c", kSecond}}, 24));
}

TEST(CheckpointOfOneFile, TellsWhatItHolds) {
  const TempDir dir;
  SafetensorsBuilder()
      .metadata("format", "pt")
      .add("b", {1, 2})
      .add("a", Dtype::kBF16, {2, 2}, "01234567")
      .write(dir / "m.safetensors");
  const std::string location = (dir / "m.safetensors").string();
  const Checkpoint checkpoint = Checkpoint::open(location);
  EXPECT_EQ(checkpoint.location(), location);
  EXPECT_EQ(checkpoint.name(), "m.safetensors");
  EXPECT_EQ(checkpoint.folder(), "");
  EXPECT_EQ(checkpoint.files(), std::vector<fs::path>{location});
  EXPECT_TRUE(checkpoint.is_safetensors());
  EXPECT_EQ(checkpoint.metadata().at("format"), "pt");
  EXPECT_TRUE(checkpoint.warnings().empty());
  EXPECT_EQ(checkpoint.total_bytes(), 16u);
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.tensors()[0].name, "b");
  EXPECT_EQ(checkpoint.tensors()[1].name, "a");
  EXPECT_EQ(checkpoint.find("a"), &checkpoint.tensors()[1]);
  EXPECT_EQ(checkpoint.find("c"), nullptr);
  EXPECT_EQ(checkpoint.find(""), nullptr);
}

TEST(CheckpointOfOneFile, MayBeALinkFromAnywhere) {
  const TempDir dir;
  SafetensorsBuilder().add("a", {1}).write(dir / "deep/m.safetensors");
  fs::create_symlink("deep/m.safetensors", dir / "link.safetensors");
  const Checkpoint checkpoint = Checkpoint::open((dir / "link.safetensors").string());
  EXPECT_EQ(read_part(checkpoint, "a", 0, 4), bytes_of_values<float>({1}));
}

TEST(CheckpointOfOneFile, IsAnArchiveByItsExtension) {
  const TempDir dir;
  for (const char* extension : {".pt", ".pth", ".bin", ".ckpt"}) {
    const fs::path file = dir / (std::string("m") + extension);
    SafetensorsBuilder().add("a", {1}).write(file);
    EXPECT_TRUE(
        holds(thrown_by<FormatError>([&] { Checkpoint::open(file.string()); }), file.string()));
  }
  SafetensorsBuilder().add("a", {1}).write(dir / "m.other");
  EXPECT_TRUE(Checkpoint::open((dir / "m.other").string()).is_safetensors());
}

TEST(CheckpointReads, AnyPartOfATensor) {
  const TempDir dir;
  SafetensorsBuilder()
      .add("a", Dtype::kU8, {3}, "abc")
      .add("b", Dtype::kU8, {10}, "0123456789")
      .write(dir / "m.safetensors");
  const Checkpoint checkpoint = Checkpoint::open((dir / "m.safetensors").string());
  EXPECT_EQ(read_part(checkpoint, "b", 0, 10), "0123456789");
  EXPECT_EQ(read_part(checkpoint, "b", 3, 4), "3456");
  EXPECT_EQ(read_part(checkpoint, "b", 10, 0), "");
  EXPECT_EQ(read_part(checkpoint, "a", 0, 3), "abc");
}

TEST(CheckpointReads, NothingPastATensor) {
  const TempDir dir;
  SafetensorsBuilder().add("a", {1, 2}).add("b", {3}).write(dir / "m.safetensors");
  const Checkpoint checkpoint = Checkpoint::open((dir / "m.safetensors").string());
  const TensorInfo& a = *checkpoint.find("a");
  char out[64];
  const auto refusal = [&](std::uint64_t begin, std::size_t bytes) {
    return thrown_by<UsageError>([&] { checkpoint.read(a, begin, bytes, out); });
  };
  EXPECT_TRUE(holds(refusal(0, 9), "tensor 'a': a read past its end"));
  EXPECT_TRUE(holds(refusal(8, 1), "a read past its end"));
  EXPECT_TRUE(holds(refusal(9, 0), "a read past its end"));
  EXPECT_TRUE(holds(refusal(4, std::numeric_limits<std::size_t>::max()), "a read past its end"));
  EXPECT_TRUE(holds(refusal(std::numeric_limits<std::uint64_t>::max(), 2), "past its end"));
}

TEST(CheckpointReads, NothingOfAnotherCheckpoint) {
  const TempDir dir;
  SafetensorsBuilder().add("a", {1, 2}).write(dir / "m.safetensors");
  const Checkpoint checkpoint = Checkpoint::open((dir / "m.safetensors").string());
  TensorInfo other = *checkpoint.find("a");
  other.file = 77;
  char out[64];
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { checkpoint.read(other, 0, 4, out); }),
                    "a tensor of another checkpoint"));
}

TEST(CheckpointReads, FromManyThreadsAtOnce) {
  const TempDir dir;
  write_sharded(dir.path());
  const Checkpoint checkpoint = Checkpoint::open(dir.path().string());
  std::vector<std::string> read(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < read.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 100; ++k) {
        read[i] = read_part(checkpoint, i % 2 == 0 ? "a" : "c", 0, 8);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i],
              i % 2 == 0 ? bytes_of_values<float>({1, 2}) : bytes_of_values<float>({4, 5}));
  }
}

TEST(CheckpointOfAFolder, OpensItsOneFile) {
  const TempDir dir;
  SafetensorsBuilder().add("a", {1}).write(dir / "model/model.safetensors");
  write_file(dir / "model/config.json", "{}");
  for (const char* spelling : {"model", "model/", "model/."}) {
    const Checkpoint checkpoint = Checkpoint::open((dir / spelling).string());
    EXPECT_EQ(checkpoint.name(), "model") << spelling;
    EXPECT_TRUE(fs::equivalent(checkpoint.folder(), dir / "model")) << spelling;
    ASSERT_EQ(checkpoint.files().size(), 1u);
    EXPECT_TRUE(fs::equivalent(checkpoint.files()[0], dir / "model/model.safetensors"));
    EXPECT_TRUE(checkpoint.warnings().empty());
  }
}

TEST(CheckpointOfAFolder, NeedsNoConfig) {
  const TempDir dir;
  SafetensorsBuilder().add("a", {1}).write(dir / "model.safetensors");
  EXPECT_EQ(Checkpoint::open(dir.path().string()).tensors().size(), 1u);
}

TEST(CheckpointOfAFolder, OpensItsShards) {
  const TempDir dir;
  write_sharded(dir.path());
  const Checkpoint checkpoint = Checkpoint::open(dir.path().string());
  EXPECT_TRUE(checkpoint.warnings().empty());
  EXPECT_EQ(checkpoint.files(), (std::vector<fs::path>{dir / kFirst, dir / kSecond}));
  EXPECT_EQ(checkpoint.total_bytes(), 24u);
  ASSERT_EQ(checkpoint.tensors().size(), 3u);
  EXPECT_EQ(checkpoint.find("a")->file, 0u);
  EXPECT_EQ(checkpoint.find("c")->file, 1u);
  EXPECT_EQ(read_part(checkpoint, "a", 0, 8), bytes_of_values<float>({1, 2}));
  EXPECT_EQ(read_part(checkpoint, "b", 0, 4), bytes_of_values<float>({3}));
  EXPECT_EQ(read_part(checkpoint, "c", 0, 12), bytes_of_values<float>({4, 5, 6}));
}

TEST(CheckpointOfAFolder, TakesTheMetadataOfTheFirstShard) {
  const TempDir dir;
  write_sharded(dir.path());
  const Checkpoint checkpoint = Checkpoint::open(dir.path().string());
  EXPECT_EQ(checkpoint.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
}

TEST(CheckpointOfAFolder, MayBeALink) {
  const TempDir dir;
  write_sharded(dir / "model");
  fs::create_directory_symlink("model", dir / "link");
  EXPECT_EQ(Checkpoint::open((dir / "link").string()).tensors().size(), 3u);
}

TEST(CheckpointOfAFolder, NoticesAChangedShard) {
  const TempDir dir;
  write_sharded(dir.path());
  const Checkpoint checkpoint = Checkpoint::open(dir.path().string());
  EXPECT_NO_THROW(checkpoint.verify_unchanged());
  write_file(dir / kSecond, "changed");
  const std::string said = thrown_by<IoError>([&] { checkpoint.verify_unchanged(); });
  EXPECT_TRUE(holds(said, kSecond));
}

TEST(CheckpointAccess, GivesTheOpenFiles) {
  const TempDir dir;
  write_sharded(dir.path());
  const Checkpoint checkpoint = Checkpoint::open(dir.path().string());
  EXPECT_EQ(CheckpointAccess::file(checkpoint, 0).path(), dir / kFirst);
  EXPECT_EQ(CheckpointAccess::file(checkpoint, 1).path(), dir / kSecond);
}

TEST(Checkpoint, CopiesShareTheOpenFiles) {
  const TempDir dir;
  SafetensorsBuilder().add("a", {1}).write(dir / "m.safetensors");
  const Checkpoint copy = [&] {
    const Checkpoint first = Checkpoint::open((dir / "m.safetensors").string());
    return first;
  }();
  const Checkpoint another = copy;
  EXPECT_EQ(&another.tensors(), &copy.tensors());
  EXPECT_EQ(read_part(another, "a", 0, 4), bytes_of_values<float>({1}));
}

// A cache of its own in $HF_HUB_CACHE; the variable is put back at the end.
class CheckpointFromTheCache : public testing::Test {
 protected:
  CheckpointFromTheCache() {
    if (const char* value = std::getenv("HF_HUB_CACHE")) saved_ = value;
    ::setenv("HF_HUB_CACHE", cache_.path().c_str(), 1);
    write_file(repository() / "refs/main", kCommit);
    SafetensorsBuilder().add("a", {1, 2}).write(repository() / "blobs/abc");
    fs::create_directories(snapshot());
    fs::create_symlink("../../blobs/abc", snapshot() / "model.safetensors");
  }
  ~CheckpointFromTheCache() override {
    if (saved_.empty()) {
      ::unsetenv("HF_HUB_CACHE");
    } else {
      ::setenv("HF_HUB_CACHE", saved_.c_str(), 1);
    }
  }
  fs::path repository() const { return cache_ / "models--some-org--some-name"; }
  fs::path snapshot() const { return repository() / "snapshots" / kCommit; }

  const TempDir cache_;

 private:
  std::string saved_;
};

TEST_F(CheckpointFromTheCache, OpensByName) {
  const Checkpoint checkpoint = Checkpoint::open("some-org/some-name");
  EXPECT_EQ(checkpoint.location(), "some-org/some-name");
  EXPECT_EQ(checkpoint.name(), "some-org/some-name@" + kCommit);
  EXPECT_EQ(checkpoint.folder(), snapshot());
  EXPECT_EQ(read_part(checkpoint, "a", 0, 8), bytes_of_values<float>({1, 2}));
}

TEST_F(CheckpointFromTheCache, OpensTheSnapshotAsAFolder) {
  EXPECT_EQ(Checkpoint::open(snapshot().string()).tensors().size(), 1u);
}

TEST_F(CheckpointFromTheCache, PrefersAPathOfThatName) {
  const TempDir dir;
  SafetensorsBuilder().add("local", {1}).write(dir / "some-org/some-name/model.safetensors");
  const fs::path before = fs::current_path();
  fs::current_path(dir.path());
  const Checkpoint checkpoint = Checkpoint::open("some-org/some-name");
  fs::current_path(before);
  EXPECT_NE(checkpoint.find("local"), nullptr);
}

TEST_F(CheckpointFromTheCache, SaysHowToDownloadWhatIsNotThere) {
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { Checkpoint::open("some-org/other"); }),
                    "hf download some-org/other"));
}

TEST_F(CheckpointFromTheCache, TellsAnInterruptedDownload) {
  fs::remove(repository() / "blobs/abc");
  write_file(repository() / "blobs/abc.incomplete", "half");
  const std::string said = thrown_by<IoError>([] { Checkpoint::open("some-org/some-name"); });
  EXPECT_TRUE(holds(said, (snapshot() / "model.safetensors").string()));
  EXPECT_TRUE(holds(said, "the link points to a file that is not there"));
  EXPECT_TRUE(holds(said, "an interrupted download leaves this; download the model again"));
}

TEST_F(CheckpointFromTheCache, RefusesALinkOutOfTheRepository) {
  SafetensorsBuilder().add("a", {1}).write(cache_ / "outside.safetensors");
  fs::remove(snapshot() / "model.safetensors");
  fs::create_symlink("../../../outside.safetensors", snapshot() / "model.safetensors");
  EXPECT_TRUE(holds(thrown_by<FormatError>([] { Checkpoint::open("some-org/some-name"); }),
                    "a link that leaves the model's folder"));
}

TEST(CheckpointRefuses, ArgumentsThatNameNothing) {
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { Checkpoint::open(""); }), "empty model argument"));
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { Checkpoint::open(std::string("a\0b", 3)); }),
                    "empty model argument"));
  const TempDir dir;
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { Checkpoint::open((dir / "none").string()); }),
                    (dir / "none").string()));
  EXPECT_TRUE(holds(thrown_by<IoError>([] { Checkpoint::open("/" + std::string(5000, 'x')); }),
                    "cannot be opened"));
}

TEST(CheckpointRefuses, AnIndexAsTheModel) {
  const TempDir dir;
  write_sharded(dir.path());
  EXPECT_TRUE(holds(thrown_by<UsageError>(
                        [&] { Checkpoint::open((dir / "model.safetensors.index.json").string()); }),
                    "an index, not a model; name the folder that holds it"));
}

}  // namespace
}  // namespace suture
