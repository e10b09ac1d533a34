// Model folders whose index and shards are broken, hostile or do not belong together.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/checkpoint.h"
#include "suture/error.h"

#include "corrupt/refusal.h"
#include "format/json.h"
#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::holds;
using test::index_bytes;
using test::refusal_of;
using test::SafetensorsBuilder;
using test::TempDir;
using test::write_file;

const std::string kFirst = "model-00001-of-00002.safetensors";
const std::string kSecond = "model-00002-of-00002.safetensors";

// A good folder: tensor a of 8 bytes in the first shard, b of 4 in the second. Every test breaks
// one thing of it.
class ShardedFolder : public testing::Test {
 protected:
  ShardedFolder() {
    SafetensorsBuilder().add("a", {1, 2}).write(folder() / kFirst);
    SafetensorsBuilder().add("b", {3}).write(folder() / kSecond);
    write_index(index_bytes({{"a", kFirst}, {"b", kSecond}}, 12));
  }

  fs::path folder() const { return dir_ / "model"; }
  void write_index(const std::string& text) const {
    write_file(folder() / "model.safetensors.index.json", text);
  }
  // An index whose entry for `b` has this JSON as its shard.
  void write_index_with_shard(const std::string& json) const {
    write_index(R"({"metadata":{},"weight_map":{"a":")" + kFirst + R"(","b":)" + json + "}}");
  }
  Checkpoint open() const { return Checkpoint::open(folder().string()); }
  std::string only_warning() const {
    const Checkpoint checkpoint = open();
    EXPECT_EQ(checkpoint.warnings().size(), 1u);
    return checkpoint.warnings().empty() ? "" : checkpoint.warnings()[0];
  }
  template <class E = FormatError>
  std::string refusal() const {
    return refusal_of<E>(folder());
  }

  const TempDir dir_;
};

using IndexRefuses = ShardedFolder;
using FolderRefuses = ShardedFolder;
using FolderWarns = ShardedFolder;
using FolderAccepts = ShardedFolder;

TEST_F(FolderAccepts, WhatTheOthersAreMadeFrom) {
  EXPECT_EQ(open().tensors().size(), 2u);
  EXPECT_TRUE(open().warnings().empty());
}

// --- The index alone
// -----------------------------------------------------------------------------------

TEST_F(IndexRefuses, InvalidJson) {
  write_index("{\"weight_map\":{");
  const std::string said = refusal();
  EXPECT_TRUE(holds(said, "not valid JSON"));
  EXPECT_TRUE(holds(said, "model.safetensors.index.json"));
}

TEST_F(IndexRefuses, AnEmptyFile) {
  write_index("");
  EXPECT_TRUE(holds(refusal(), "not valid JSON"));
}

TEST_F(IndexRefuses, ARootThatIsNoObject) {
  for (const char* root : {"[]", "null", "1", "\"weight_map\""}) {
    write_index(root);
    EXPECT_TRUE(holds(refusal(), "no tensors in 'weight_map'")) << root;
  }
}

TEST_F(IndexRefuses, MissingWeightMap) {
  write_index(R"({"metadata":{"total_size":12}})");
  EXPECT_TRUE(holds(refusal(), "no tensors in 'weight_map'"));
}

TEST_F(IndexRefuses, EmptyWeightMap) {
  write_index(R"({"metadata":{},"weight_map":{}})");
  EXPECT_TRUE(holds(refusal(), "no tensors in 'weight_map'"));
}

TEST_F(IndexRefuses, AWeightMapThatIsNoObject) {
  for (const char* map : {"[]", "null", "\"x\"", "1"}) {
    write_index(R"({"metadata":{},"weight_map":)" + std::string(map) + "}");
    EXPECT_TRUE(holds(refusal(), "no tensors in 'weight_map'")) << map;
  }
}

TEST_F(IndexRefuses, AShardThatIsNoString) {
  const std::vector<std::pair<std::string, std::string>> kinds{{R"({"file":"x"})", "object"},
                                                               {"1", "number"},
                                                               {"null", "null"},
                                                               {"[]", "array"},
                                                               {"true", "boolean"}};
  for (const auto& [json, kind] : kinds) {
    write_index_with_shard(json);
    EXPECT_TRUE(holds(refusal(), "tensor 'b': its shard is " + kind + "; expected a file name"));
  }
}

TEST_F(IndexRefuses, AShardOutsideTheFolder) {
  SafetensorsBuilder().add("b", {3}).write(dir_ / "stolen.safetensors");
  for (const std::string& shard :
       {std::string("../stolen.safetensors"), std::string("x/../../stolen.safetensors"),
        (dir_ / "stolen.safetensors").string(), std::string("/etc/passwd"), std::string(".."),
        std::string("x/.."), std::string(), std::string("x/")}) {
    write_index_with_shard("\"" + shard + "\"");
    EXPECT_TRUE(holds(refusal(), "tensor 'b': its shard '" + shard + "' lies outside the folder"));
  }
}

TEST_F(IndexRefuses, AShardNameWithANul) {
  write_index_with_shard("\"" + kSecond + "\\u0000x\"");
  EXPECT_TRUE(holds(refusal(), "tensor 'b': its shard '" + kSecond + "\\x00x' lies outside"));
}

TEST_F(IndexRefuses, ATensorTwice) {
  write_index(R"({"metadata":{},"weight_map":{"a":")" + kFirst + R"(","b":")" + kSecond +
              R"(","a":")" + kFirst + "\"}}");
  EXPECT_TRUE(holds(refusal(), "key 'a' twice in one object"));
}

TEST_F(IndexRefuses, TwoMillionTensors) {
  std::string text = R"({"metadata":{},"weight_map":{)";
  for (int i = 0; i < 2'000'000; ++i) {
    text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":\"s\"";
  }
  write_index(text + "}}");
  EXPECT_TRUE(holds(refusal(), "over 500000 keys in one object"));
}

TEST_F(IndexRefuses, AHugeFileWithoutReadingIt) {
  fs::resize_file(folder() / "model.safetensors.index.json", 4ull << 30);
  EXPECT_TRUE(holds(refusal(), "4294967296 bytes; expected at most 67108864"));
}

TEST_F(IndexRefuses, ManyNestedArrays) {
  write_index(std::string(200'000, '['));
  EXPECT_TRUE(holds(refusal(), "over 64 levels"));
}

// A name of a million characters must not exhaust the stack of whatever looks for numbers in it.
TEST_F(IndexRefuses, AHugeShardName) {
  write_index_with_shard("\"" + std::string(1'000'000, '1') + "-1-of-2.safetensors\"");
  const std::string said = refusal();
  EXPECT_TRUE(holds(said, "missing shards: 111"));
  EXPECT_LT(said.size(), 1000u);
}

TEST_F(IndexRefuses, ALinkOutOfTheFolderAsTheIndex) {
  fs::rename(folder() / "model.safetensors.index.json", dir_ / "index.json");
  fs::create_symlink("../index.json", folder() / "model.safetensors.index.json");
  EXPECT_TRUE(holds(refusal(), "a link that leaves the model's folder"));
}

// --- Index and shards
// ----------------------------------------------------------------------------------

TEST_F(FolderRefuses, ALinkOutOfTheFolderAsAShard) {
  fs::rename(folder() / kSecond, dir_ / "elsewhere.safetensors");
  fs::create_symlink("../elsewhere.safetensors", folder() / kSecond);
  const std::string said = refusal();
  EXPECT_TRUE(holds(said, kSecond));
  EXPECT_TRUE(holds(said, "a link that leaves the model's folder"));
}

TEST_F(FolderAccepts, ALinkWithinTheFolderAsAShard) {
  fs::rename(folder() / kSecond, folder() / "kept.safetensors");
  fs::create_symlink("kept.safetensors", folder() / kSecond);
  EXPECT_EQ(open().tensors().size(), 2u);
}

TEST_F(FolderAccepts, LinksToTheBlobsOfItsCache) {
  const fs::path repository = dir_ / "models--o--n";
  const fs::path snapshot = repository / "snapshots/0123456789abcdef0123456789abcdef01234567";
  fs::create_directories(snapshot);
  fs::create_directories(repository / "blobs");
  for (const auto& entry : fs::directory_iterator(folder())) {
    const fs::path name = entry.path().filename();
    fs::rename(entry.path(), repository / "blobs" / name);
    fs::create_symlink("../../blobs" / name, snapshot / name);
  }
  const Checkpoint checkpoint = Checkpoint::open(snapshot.string());
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_TRUE(checkpoint.warnings().empty());
}

TEST_F(FolderRefuses, MissingShardsAndNamesThemAll) {
  fs::remove(folder() / kFirst);
  fs::remove(folder() / kSecond);
  EXPECT_TRUE(holds(refusal(), "missing shards: " + kFirst + ", " + kSecond));
}

TEST_F(FolderRefuses, OneMissingShard) {
  fs::remove(folder() / kSecond);
  const std::string said = refusal();
  EXPECT_TRUE(holds(said, "missing shards: " + kSecond));
  EXPECT_EQ(said.find(kFirst), std::string::npos);
}

TEST_F(FolderRefuses, ADanglingLinkAsAShard) {
  fs::remove(folder() / kSecond);
  fs::create_symlink("gone", folder() / kSecond);
  const std::string said = refusal<IoError>();
  EXPECT_TRUE(holds(said, kSecond));
  EXPECT_TRUE(holds(said, "an interrupted download leaves this"));
}

TEST_F(FolderRefuses, AFolderAsAShard) {
  fs::remove(folder() / kSecond);
  fs::create_directory(folder() / kSecond);
  EXPECT_TRUE(holds(refusal<IoError>(), "a directory"));
}

TEST_F(FolderRefuses, ABrokenShard) {
  write_file(folder() / kSecond, "short");
  const std::string said = refusal();
  EXPECT_TRUE(holds(said, (folder() / kSecond).string()));
  EXPECT_TRUE(holds(said, "5 bytes; expected at least 8"));
}

TEST_F(FolderRefuses, AShardThatWasCutShort) {
  fs::resize_file(folder() / kFirst, fs::file_size(folder() / kFirst) - 3);
  EXPECT_TRUE(holds(refusal(), "tensor 'a': the file ends 3 bytes early"));
}

TEST_F(FolderRefuses, AListedTensorThatItsShardLacks) {
  write_index(index_bytes({{"a", kFirst}, {"b", kSecond}, {"c", kSecond}}, 12));
  EXPECT_TRUE(holds(refusal(), "tensor 'c': not in its shard '" + kSecond + "'"));
}

TEST_F(FolderRefuses, ATensorInAnotherShardThanListed) {
  write_index(index_bytes({{"a", kFirst}, {"b", kFirst}}, 12));
  EXPECT_TRUE(holds(refusal(), "tensor 'b': not in its shard '" + kFirst + "'"));
}

TEST_F(FolderRefuses, OneTensorInTwoShards) {
  SafetensorsBuilder().add("b", {3}).add("a", {1, 2}).write(folder() / kSecond);
  EXPECT_TRUE(
      holds(refusal(), "tensor 'a': stands in both '" + kFirst + "' and '" + kSecond + "'"));
}

TEST_F(FolderWarns, OfAMissingMetadata) {
  write_index(R"({"weight_map":{"a":")" + kFirst + R"(","b":")" + kSecond + "\"}}");
  EXPECT_TRUE(holds(only_warning(), "the index has no metadata"));
}

TEST_F(FolderWarns, OfMetadataThatIsNoObject) {
  write_index(R"({"metadata":1,"weight_map":{"a":")" + kFirst + R"(","b":")" + kSecond + "\"}}");
  EXPECT_TRUE(holds(only_warning(), "the index has no metadata"));
}

TEST_F(FolderWarns, OfATensorThatIsNotListed) {
  SafetensorsBuilder().add("b", {3}).add("c", {4}).write(folder() / kSecond);
  write_index(index_bytes({{"a", kFirst}, {"b", kSecond}}, 16));
  EXPECT_TRUE(holds(only_warning(), "1 tensors stand in the shards but not in the index"));
  EXPECT_NE(open().find("c"), nullptr);
}

TEST_F(FolderWarns, OfAWrongTotalSize) {
  write_index(index_bytes({{"a", kFirst}, {"b", kSecond}}, 13));
  EXPECT_TRUE(holds(only_warning(), "claims 13 bytes of tensors, the shards hold 12"));
}

TEST_F(FolderWarns, OfAnIndexBesideASingleFile) {
  SafetensorsBuilder().add("single", {1}).write(folder() / "model.safetensors");
  EXPECT_TRUE(holds(only_warning(), "both model.safetensors and an index"));
  EXPECT_NE(open().find("single"), nullptr);
  EXPECT_EQ(open().find("a"), nullptr);
}

TEST_F(FolderWarns, OfShardNamesThatSpeakOfAnotherNumber) {
  SafetensorsBuilder().add("c", {4}).write(folder() / "model-00003-of-00002.safetensors");
  write_index(
      index_bytes({{"a", kFirst}, {"b", kSecond}, {"c", "model-00003-of-00002.safetensors"}}, 16));
  EXPECT_TRUE(holds(only_warning(), "the index lists 3 shards, but '" + kFirst + "' speaks of 2"));
}

TEST_F(FolderAccepts, NamesThatDifferOnlyInCase) {
  SafetensorsBuilder().add("b", {3}).add("A", {4}).write(folder() / kSecond);
  write_index(index_bytes({{"a", kFirst}, {"b", kSecond}, {"A", kSecond}}, 16));
  const Checkpoint checkpoint = open();
  EXPECT_TRUE(checkpoint.warnings().empty());
  EXPECT_NE(checkpoint.find("A"), checkpoint.find("a"));
}

TEST_F(FolderAccepts, ShardsInASubfolder) {
  fs::create_directory(folder() / "shards");
  fs::rename(folder() / kSecond, folder() / "shards" / kSecond);
  write_index(index_bytes({{"a", kFirst}, {"b", "shards/" + kSecond}}, 12));
  EXPECT_EQ(open().tensors().size(), 2u);
}

// --- Other folders
// -------------------------------------------------------------------------------------

TEST(PickleFolder, IsReadByThePickleReader) {
  const TempDir dir;
  const std::string shard = "pytorch_model-00001-of-00001.bin";
  SafetensorsBuilder().add("a", {1}).write(dir / shard);  // no archive
  write_file(dir / "pytorch_model.bin.index.json", index_bytes({{"a", shard}}, 4));
  EXPECT_TRUE(holds(refusal_of(dir.path()), (dir / shard).string()));
}

TEST(LinkedFolder, RefusesALinkOutOfTheFolderAsTheOnlyFile) {
  const TempDir dir;
  SafetensorsBuilder().add("a", {1}).write(dir / "outside.safetensors");
  fs::create_directory(dir / "model");
  fs::create_symlink("../outside.safetensors", dir / "model/model.safetensors");
  EXPECT_TRUE(holds(refusal_of(dir / "model"), "a link that leaves the model's folder"));
}

TEST(ConfigFile, IsRefusedUnreadWhenHuge) {
  const TempDir dir;
  write_file(dir / "config.json", "{");
  fs::resize_file(dir / "config.json", 4ull << 30);
  EXPECT_TRUE(holds(
      test::thrown_by<FormatError>([&] { format::read_json_file(dir / "config.json", 16 << 20); }),
      "4294967296 bytes; expected at most 16777216"));
}

}  // namespace
}  // namespace suture
