#include "format/shard_index.h"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::format {
namespace {

using test::holds;
using test::index_bytes;
using test::TempDir;
using test::thrown_by;
using test::write_file;

const std::string kFirst = "model-00001-of-00002.safetensors";
const std::string kSecond = "model-00002-of-00002.safetensors";

ShardIndex read(const std::string& text) {
  const TempDir dir;
  write_file(dir / "index.json", text);
  return read_shard_index(dir / "index.json");
}

TensorInfo tensor(const std::string& name, std::uint64_t bytes) {
  TensorInfo info;
  info.name = name;
  info.bytes = bytes;
  return info;
}

// Two shards with tensors a, b and c of 8, 4 and 2 bytes, and their index.
ShardIndex two_shards(std::uint64_t total_size = 14) {
  return read(index_bytes({{"c", kSecond}, {"a", kFirst}, {"b", kFirst}}, total_size));
}

std::vector<std::vector<TensorInfo>> their_tensors() {
  return {{tensor("a", 8), tensor("b", 4)}, {tensor("c", 2)}};
}

std::string mismatch(const std::vector<std::vector<TensorInfo>>& tensors) {
  ShardIndex index = two_shards();
  return thrown_by<FormatError>([&] { verify_shard_index(index, "i.json", tensors); });
}

TEST(ReadShardIndex, TellsWhereTensorsAre) {
  const ShardIndex index = two_shards();
  EXPECT_EQ(index.weight_map,
            (std::map<std::string, std::string>{{"a", kFirst}, {"b", kFirst}, {"c", kSecond}}));
  EXPECT_EQ(index.shards, (std::vector<std::string>{kFirst, kSecond}));
  EXPECT_EQ(index.total_size, 14u);
  EXPECT_TRUE(index.warnings.empty());
}

TEST(ReadShardIndex, AllowsShardsInSubfolders) {
  EXPECT_EQ(read(index_bytes({{"a", "text/m.safetensors"}}, 1)).shards,
            std::vector<std::string>{"text/m.safetensors"});
}

TEST(ReadShardIndex, LivesWithoutATotalSize) {
  for (const char* metadata : {"{}", R"({"total_size":"14"})", R"({"total_size":-1})",
                               R"({"total_size":1.5})", R"({"other":1})"}) {
    const ShardIndex index =
        read(R"({"metadata":)" + std::string(metadata) + R"(,"weight_map":{"a":"m"}})");
    EXPECT_FALSE(index.total_size) << metadata;
    EXPECT_TRUE(index.warnings.empty()) << metadata;
  }
}

TEST(ReadShardIndex, TrustsNumbersInShardNamesThatHold) {
  EXPECT_TRUE(read(index_bytes({{"a", "shard_00.safetensors"}}, 1)).warnings.empty());
  EXPECT_TRUE(read(index_bytes({{"a", "x-00001-of-00001.safetensors"}}, 1)).warnings.empty());
  EXPECT_TRUE(read(index_bytes({{"a", "made-of-2.safetensors"}}, 1)).warnings.empty());
  EXPECT_TRUE(read(index_bytes({{"a", "model-1-of-many"}}, 1)).warnings.empty());
  EXPECT_TRUE(read(index_bytes({{"a", "model-1-of-2"}}, 1)).warnings.empty());
  EXPECT_TRUE(read(index_bytes({{"a", "-of-2.safetensors"}}, 1)).warnings.empty());
}

TEST(ReadShardIndex, WarnsOfNumbersInShardNamesThatDoNot) {
  for (const char* name : {"model-00001-of-00002.safetensors", "pytorch_model-1-of-999999999.bin",
                           "a-of-1-of-3.safetensors"}) {
    const ShardIndex index = read(index_bytes({{"a", name}}, 1));
    ASSERT_EQ(index.warnings.size(), 1u) << name;
    EXPECT_TRUE(holds(index.warnings[0], "lists 1 shards, but '" + std::string(name)));
  }
}

TEST(VerifyShardIndex, PassesWhatBelongsTogether) {
  ShardIndex index = two_shards();
  verify_shard_index(index, "i.json", their_tensors());
  EXPECT_TRUE(index.warnings.empty());
}

TEST(VerifyShardIndex, RefusesAListedTensorThatIsNowhere) {
  const std::string said = mismatch({{tensor("a", 8)}, {tensor("c", 2)}});
  EXPECT_TRUE(holds(said, "i.json: tensor 'b': not in its shard '" + kFirst + "'"));
}

TEST(VerifyShardIndex, RefusesATensorInAnotherShardThanListed) {
  const std::string said = mismatch({{tensor("a", 8)}, {tensor("b", 4), tensor("c", 2)}});
  EXPECT_TRUE(holds(said, "tensor 'b': not in its shard '" + kFirst + "'"));
}

TEST(VerifyShardIndex, RefusesATensorInTwoShards) {
  const std::string said =
      mismatch({{tensor("a", 8), tensor("b", 4)}, {tensor("c", 2), tensor("a", 8)}});
  EXPECT_TRUE(holds(said, "tensor 'a': stands in both '" + kFirst + "' and '" + kSecond + "'"));
}

TEST(VerifyShardIndex, WarnsOfTensorsThatAreNotListed) {
  ShardIndex index = two_shards(17);
  auto tensors = their_tensors();
  tensors[1].push_back(tensor("d", 3));
  verify_shard_index(index, "i.json", tensors);
  ASSERT_EQ(index.warnings.size(), 1u);
  EXPECT_TRUE(holds(index.warnings[0], "1 tensors stand in the shards but not in the index"));
}

TEST(VerifyShardIndex, WarnsOfAWrongTotalSize) {
  ShardIndex index = two_shards(3'000'000'000);
  verify_shard_index(index, "i.json", their_tensors());
  ASSERT_EQ(index.warnings.size(), 1u);
  EXPECT_TRUE(holds(index.warnings[0], "claims 3000000000 bytes of tensors, the shards hold 14"));
}

TEST(WriteShardIndex, WritesWhatTheHubWrites) {
  EXPECT_EQ(write_shard_index({{"b", "2.safetensors"}, {"a", "1.safetensors"}}, 5),
            "{\n"
            "  \"metadata\": {\n"
            "    \"total_size\": 5\n"
            "  },\n"
            "  \"weight_map\": {\n"
            "    \"a\": \"1.safetensors\",\n"
            "    \"b\": \"2.safetensors\"\n"
            "  }\n"
            "}\n");
}

TEST(WriteShardIndex, IsReadBackAsItWas) {
  const std::map<std::string, std::string> map{{"a\n\u00E9", kFirst}, {"b", kSecond}};
  const ShardIndex index = read(write_shard_index(map, 99));
  EXPECT_EQ(index.weight_map, map);
  EXPECT_EQ(index.total_size, 99u);
  EXPECT_TRUE(index.warnings.empty());
}

TEST(ShardName, CountsFromOneInFiveDigits) {
  EXPECT_EQ(shard_name("model", 1, 1), "model.safetensors");
  EXPECT_EQ(shard_name("model", 1, 2), "model-00001-of-00002.safetensors");
  EXPECT_EQ(shard_name("task_vector", 123456, 123456), "task_vector-123456-of-123456.safetensors");
}

}  // namespace
}  // namespace suture::format
