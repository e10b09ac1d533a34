#include "stream/weights_writer.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/checkpoint.h"

#include "format/json.h"
#include "format/staged_output.h"
#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::stream {
namespace {

using test::read_file;
using test::TempDir;

TensorInfo tensor(const std::string& name, std::int64_t elements, Dtype dtype = Dtype::kF32) {
  TensorInfo info;
  info.name = name;
  info.dtype = dtype;
  info.shape = {elements};
  info.elements = static_cast<std::uint64_t>(elements);
  info.bytes = info.elements * static_cast<std::uint64_t>(bytes_of(dtype));
  return info;
}

std::vector<std::vector<std::string>> names_by_shard(const WeightsLayout& layout) {
  std::vector<std::vector<std::string>> names;
  for (const ShardLayout& shard : layout.shards) {
    names.emplace_back();
    for (const TensorInfo& info : shard.tensors) names.back().push_back(info.name);
  }
  return names;
}

TEST(LayOutShards, TakesTensorsInOrderUntilTheLimit) {
  const WeightsLayout layout = lay_out_shards(
      {tensor("d", 10), tensor("c", 10), tensor("b", 5), tensor("a", 6)}, "model", {}, 80);
  EXPECT_EQ(names_by_shard(layout),
            (std::vector<std::vector<std::string>>{{"c", "d"}, {"a", "b"}}));
  EXPECT_EQ(layout.shards[0].file_name, "model-00001-of-00002.safetensors");
  EXPECT_EQ(layout.shards[1].file_name, "model-00002-of-00002.safetensors");
}

TEST(WeightsWriter, ReplacesMetadataInTheRoomThatWasLaidOut) {
  const TempDir dir;
  const auto write = [&](const std::string& name, const std::string& room,
                         const std::string& text) {
    format::StagedOutput stage(dir / name, format::OutputKind::kFolder, format::Existing::kRefuse);
    WeightsWriter writer(
        stage, lay_out_shards({tensor("a", 2), tensor("b", 2)}, "model", {{"k", room}}, 8));
    const float values[] = {1, 2};
    for (const auto& [tensor_name, place] : writer.layout().by_name())
      writer.write(*place, 0, values, sizeof values);
    writer.replace_metadata({{"k", text}});
    writer.finish();
    stage.commit();
  };
  write("out", std::string(50, 'x'), "short");
  const Checkpoint checkpoint = Checkpoint::open((dir / "out").string());
  EXPECT_EQ(checkpoint.metadata().at("k"), "short");
  ASSERT_EQ(checkpoint.files().size(), 2u);
  float values[2] = {};
  checkpoint.read(*checkpoint.find("b"), 0, sizeof values, values);
  EXPECT_EQ(values[1], 2);
  write("same", std::string(50, 'y'), "short");
  EXPECT_EQ(read_file(dir / "same" / "model-00001-of-00002.safetensors"),
            read_file(dir / "out" / "model-00001-of-00002.safetensors"));
  EXPECT_TRUE(
      test::holds(test::thrown_by<FormatError>([&] { write("large", "x", std::string(50, 'x')); }),
                  "reserved"));
}

TEST(WeightsWriter, RemovesWhatIsDiscarded) {
  const TempDir dir;
  format::StagedOutput stage(dir / "out", format::OutputKind::kFolder, format::Existing::kRefuse);
  for (int i = 0; i < 2; ++i) {
    WeightsWriter writer(stage, lay_out_shards({tensor("a", 2), tensor("b", 2)}, "v", {}, 8));
    writer.discard();
    EXPECT_FALSE(std::filesystem::exists(stage.path_of("v-00001-of-00002.safetensors")));
  }
}

TEST(LayOutShards, GivesATensorOverTheLimitAShardOfItsOwn) {
  const WeightsLayout layout =
      lay_out_shards({tensor("a", 1), tensor("big", 100), tensor("b", 1)}, "model", {}, 80);
  EXPECT_EQ(names_by_shard(layout), (std::vector<std::vector<std::string>>{{"a"}, {"big"}, {"b"}}));
}

TEST(LayOutShards, OneShardHasTheShortNameAndNoIndex) {
  const WeightsLayout layout = lay_out_shards({tensor("a", 20)}, "model", {}, 80);
  ASSERT_EQ(layout.shards.size(), 1u);
  EXPECT_EQ(layout.shards[0].file_name, "model.safetensors");
  EXPECT_FALSE(layout.index);
}

TEST(LayOutShards, TheIndexNamesEveryTensorAndTheSumOfBytes) {
  const WeightsLayout layout =
      lay_out_shards({tensor("a", 10), tensor("b", 20, Dtype::kBF16)}, "model", {}, 1);
  ASSERT_TRUE(layout.index);
  EXPECT_EQ(layout.index->first, "model.safetensors.index.json");
  const format::Json index = format::Json::parse(layout.index->second);
  EXPECT_EQ(index["metadata"]["total_size"], 80);
  EXPECT_EQ(index["weight_map"]["a"], "model-00001-of-00002.safetensors");
  EXPECT_EQ(index["weight_map"]["b"], "model-00002-of-00002.safetensors");
  EXPECT_EQ(layout.total_bytes(), layout.shards[0].file_bytes + layout.shards[1].file_bytes +
                                      layout.index->second.size());
}

// As the reference writer does: widest dtype first, then by name; dense, behind the header.
TEST(LayOutSingleFile, PlacesTensorsByDtypeAndName) {
  const WeightsLayout layout = lay_out_single_file(
      {tensor("b", 3, Dtype::kBF16), tensor("z", 2), tensor("a", 1, Dtype::kBF16)}, "m", {});
  const ShardLayout& shard = layout.shards.front();
  EXPECT_EQ(names_by_shard(layout).front(), (std::vector<std::string>{"z", "a", "b"}));
  EXPECT_EQ(shard.tensors[0].offset, shard.first_bytes.size());
  EXPECT_EQ(shard.tensors[1].offset, shard.first_bytes.size() + 8);
  EXPECT_EQ(shard.tensors[2].offset, shard.first_bytes.size() + 10);
  EXPECT_EQ(shard.file_bytes, shard.first_bytes.size() + 16);
  EXPECT_EQ(shard.first_bytes.size() % 8, 0u);
}

TEST(WeightsLayout, FindsATensorByName) {
  const WeightsLayout layout = lay_out_shards({tensor("a", 10), tensor("b", 10)}, "model", {}, 40);
  const auto positions = layout.by_name();
  EXPECT_EQ(positions.at("a")->file, 0u);
  EXPECT_EQ(positions.at("b")->file, 1u);
  EXPECT_EQ(positions.size(), 2u);
}

TEST(WeightsWriter, WritesShardsThatReadBack) {
  const TempDir dir;
  const std::string ones = test::bytes_of_values(std::vector<float>(10, 1)),
                    twos = test::bytes_of_values(std::vector<float>(10, 2));
  test::write_file(dir / "source", "----" + twos);
  {
    format::StagedOutput stage(dir / "out", format::OutputKind::kFolder, format::Existing::kRefuse);
    WeightsWriter writer(
        stage, lay_out_shards({tensor("a", 10), tensor("b", 10)}, "model", {{"format", "pt"}}, 40));
    const auto positions = writer.layout().by_name();
    // In two pieces, the later one first.
    writer.write(*positions.at("a"), 12, ones.data() + 12, 28);
    writer.write(*positions.at("a"), 0, ones.data(), 12);
    writer.copy(*positions.at("b"), 0, format::File::open(dir / "source"), 4, 40);
    writer.finish();
    stage.commit();
  }
  const Checkpoint read = Checkpoint::open((dir / "out").string());
  EXPECT_EQ(read.files().size(), 2u);
  EXPECT_TRUE(read.warnings().empty());
  EXPECT_EQ(read.metadata().at("format"), "pt");
  std::string found(40, '\0');
  read.read(*read.find("a"), 0, 40, found.data());
  EXPECT_EQ(found, ones);
  read.read(*read.find("b"), 0, 40, found.data());
  EXPECT_EQ(found, twos);
}

TEST(WeightsWriter, WithoutFinishNothingIsLeft) {
  const TempDir dir;
  {
    format::StagedOutput stage(dir / "out", format::OutputKind::kFolder, format::Existing::kRefuse);
    WeightsWriter writer(stage, lay_out_single_file({tensor("a", 10)}, "m.safetensors", {}));
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace suture::stream
