#include "format/safetensors.h"

#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "format/json.h"
#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/tensor_info.h"
#include "support/thrown.h"

namespace suture::format {
namespace {

using test::holds;
using test::read_file;
using test::SafetensorsBuilder;
using test::TempDir;
using test::tensor_info;
using test::thrown_by;
using test::write_file;

std::string names_of(const std::vector<TensorInfo>& tensors) {
  std::string names;
  for (const TensorInfo& info : tensors) names += info.name + " ";
  return names;
}

SafetensorsHeader read_back(const std::string& bytes) {
  const TempDir dir;
  write_file(dir / "f.safetensors", bytes);
  return read_safetensors_header(File::open(dir / "f.safetensors"));
}

// --- Reading
// -----------------------------------------------------------------------------------------

TEST(ReadSafetensors, TellsAllThatTheHeaderHolds) {
  const std::string bytes = SafetensorsBuilder()
                                .metadata("format", "pt")
                                .add("w", Dtype::kBF16, {2, 3}, "abcdefghijkl")
                                .add("s", Dtype::kF64, {}, "01234567")
                                .bytes();
  const SafetensorsHeader header = read_back(bytes);
  EXPECT_EQ(header.metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  EXPECT_EQ(header.data_begin, bytes.size() - 20);
  ASSERT_EQ(header.tensors.size(), 2u);
  const TensorInfo& w = header.tensors[0];
  EXPECT_EQ(w.name, "w");
  EXPECT_EQ(w.dtype, Dtype::kBF16);
  EXPECT_EQ(w.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(w.elements, 6u);
  EXPECT_EQ(w.bytes, 12u);
  EXPECT_EQ(w.offset, header.data_begin);
  EXPECT_TRUE(w.strides.empty());
  const TensorInfo& s = header.tensors[1];
  EXPECT_TRUE(s.shape.empty());
  EXPECT_EQ(s.elements, 1u);
  EXPECT_EQ(s.bytes, 8u);
  EXPECT_EQ(s.offset, header.data_begin + 12);
}

TEST(ReadSafetensors, OrdersTensorsByTheirData) {
  const SafetensorsHeader header =
      parse_safetensors_header(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[5,7]},)"
                               R"("b":{"dtype":"U8","shape":[4],"data_offsets":[1,5]},)"
                               R"("c":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                               7, "f");
  EXPECT_EQ(names_of(header.tensors), "c b a ");
  EXPECT_EQ(header.tensors[1].offset, 1u);
}

TEST(ReadSafetensors, FieldsMayStandInAnyOrder) {
  const SafetensorsHeader header = parse_safetensors_header(
      R"({"a":{"data_offsets":[0,2],"shape":[2],"dtype":"U8"},"__metadata__":{"k":"v"}})", 2, "f");
  EXPECT_EQ(header.tensors.at(0).bytes, 2u);
  EXPECT_EQ(header.metadata.at("k"), "v");
}

TEST(ReadSafetensors, IgnoresFieldsItDoesNotKnow) {
  const SafetensorsHeader header = parse_safetensors_header(
      R"({"a":{"x":1,"dtype":"U8","y":{"dtype":"U8","shape":[9],"z":[{"data_offsets":"q"}]},)"
      R"("shape":[2],"n":null,"b":true,"f":-1.5,"s":"t","l":[[],[1,"2"]],"data_offsets":[0,2]}})",
      2, "f");
  ASSERT_EQ(header.tensors.size(), 1u);
  EXPECT_EQ(header.tensors[0].shape, std::vector<std::int64_t>{2});
}

TEST(ReadSafetensors, NamesMayNeedEscapes) {
  const SafetensorsHeader header = parse_safetensors_header(
      R"({"\u0061\n\"\\\u00e9\ud83d\ude00":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
      "f");
  EXPECT_EQ(header.tensors.at(0).name, "a\n\"\\\u00E9\U0001F600");
}

TEST(ReadSafetensors, OffsetsMayBeLargerThanTheMachinesMemory) {
  const SafetensorsHeader header = parse_safetensors_header(
      R"({"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}})",
      4'000'000'000'000, "f");
  EXPECT_EQ(header.tensors.at(0).bytes, 4'000'000'000'000u);
}

// --- Writing
// -----------------------------------------------------------------------------------------

TEST(LayOutSafetensors, IsReadBackAsItWas) {
  std::vector<TensorInfo> tensors{
      tensor_info("b", {3}, Dtype::kU8), tensor_info("a", {2, 2}, Dtype::kBF16),
      tensor_info("zero", {0, 5}, Dtype::kF32), tensor_info("scalar", {}, Dtype::kF64)};
  const std::map<std::string, std::string> metadata{{"format", "pt"}, {"k\"\n", "v\\\u00E9"}};
  const std::string first = lay_out_safetensors(tensors, metadata);
  const SafetensorsHeader header = read_back(first + std::string(3 + 8 + 0 + 8, 'd'));
  EXPECT_EQ(header.metadata, metadata);
  EXPECT_EQ(header.data_begin, first.size());
  ASSERT_EQ(header.tensors.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(header.tensors[i].name, tensors[i].name);
    EXPECT_EQ(header.tensors[i].dtype, tensors[i].dtype);
    EXPECT_EQ(header.tensors[i].shape, tensors[i].shape);
    EXPECT_EQ(header.tensors[i].elements, tensors[i].elements);
    EXPECT_EQ(header.tensors[i].bytes, tensors[i].bytes);
    EXPECT_EQ(header.tensors[i].offset, tensors[i].offset);
  }
}

// These are the bytes that the reference implementation writes for the same tensors.
TEST(LayOutSafetensors, WritesTheReferenceBytes) {
  std::vector<TensorInfo> tensors{tensor_info("b", {2}, Dtype::kF32),
                                  tensor_info("a", {1, 2}, Dtype::kF32),
                                  tensor_info("i", {1}, Dtype::kI64)};
  std::string json = R"({"__metadata__":{"format":"pt"},)"
                     R"("i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                     R"("a":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},)"
                     R"("b":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}})";
  json.append((8 - json.size() % 8) % 8, ' ');
  EXPECT_EQ(lay_out_safetensors(tensors, {{"format", "pt"}}), test::safetensors_bytes(json));
}

TEST(LayOutSafetensors, SortsByDtypeRankDescendingThenName) {
  std::vector<TensorInfo> tensors;
  for (const Dtype dtype : {Dtype::kBool, Dtype::kU8, Dtype::kF16, Dtype::kBF16, Dtype::kF32,
                            Dtype::kF64, Dtype::kI64}) {
    for (const char* suffix : {".b", ".a", ".B", ".\u00E9"}) {
      tensors.push_back(tensor_info(std::string(name_of(dtype)) + suffix, {1}, dtype));
    }
  }
  lay_out_safetensors(tensors, {});
  EXPECT_EQ(
      names_of(tensors),
      "I64.B I64.a I64.b I64.\u00E9 F64.B F64.a F64.b F64.\u00E9 F32.B F32.a F32.b F32.\u00E9 "
      "BF16.B BF16.a BF16.b BF16.\u00E9 F16.B F16.a F16.b F16.\u00E9 U8.B U8.a U8.b U8.\u00E9 "
      "BOOL.B BOOL.a BOOL.b BOOL.\u00E9 ");
}

TEST(LayOutSafetensors, PadsTheHeaderToEight) {
  for (std::size_t length = 1; length <= 16; ++length) {
    std::vector<TensorInfo> tensors{tensor_info(std::string(length, 'n'), {1}, Dtype::kU8)};
    const std::string first = lay_out_safetensors(tensors, {});
    EXPECT_EQ(first.size() % 8, 0u) << length;
    const auto brace = first.find_last_not_of(' ');
    EXPECT_EQ(first[brace], '}') << length;
    EXPECT_LT(first.size() - brace - 1, 8u) << length;
    EXPECT_EQ(tensors[0].offset, first.size()) << length;
  }
}

TEST(LayOutSafetensors, LeavesOutEmptyMetadata) {
  std::vector<TensorInfo> none;
  EXPECT_EQ(lay_out_safetensors(none, {}), test::safetensors_bytes("{}      "));
  EXPECT_EQ(lay_out_safetensors(none, {{"a", "b"}, {"c", "d"}}),
            test::safetensors_bytes(R"({"__metadata__":{"a":"b","c":"d"}}      )"));
}

TEST(LayOutSafetensors, RefusesNamesThatCannotBeReadBack) {
  for (const std::string name : {"", "__metadata__", "\xFF"}) {
    std::vector<TensorInfo> tensors{tensor_info(name, {1}, Dtype::kU8)};
    EXPECT_TRUE(holds(thrown_by<FormatError>([&] { lay_out_safetensors(tensors, {}); }),
                      "'" + printable(name) + "'"));
  }
}

TEST(LayOutSafetensors, RefusesTwoTensorsOfOneName) {
  std::vector<TensorInfo> tensors{tensor_info("a", {1}, Dtype::kU8),
                                  tensor_info("a", {2}, Dtype::kF32)};
  EXPECT_TRUE(test::holds(thrown_by<FormatError>([&] { lay_out_safetensors(tensors, {}); }),
                          "tensor 'a': two tensors of this name"));
}

TEST(LayOutSafetensors, RefusesMetadataThatIsNotUtf8) {
  std::vector<TensorInfo> none;
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] {
                      lay_out_safetensors(none, {{"a", "\xFF"}});
                    }),
                    "expected UTF-8"));
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] {
                      lay_out_safetensors(none, {{"\xFF", "a"}});
                    }),
                    "expected UTF-8"));
}

TEST(LayOutSafetensors, RefusesAHeaderOverTheLimit) {
  std::vector<TensorInfo> none;
  std::map<std::string, std::string> metadata;
  for (const char* key : {"a", "b", "c", "d"})
    metadata[key] = std::string(kMaxSafetensorsHeaderBytes / 4, 'v');
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { lay_out_safetensors(none, metadata); }),
                    "expected at most 100000000; split the output into shards"));
}

TEST(LayOutSafetensors, RefusesTextThatWouldNotBeRead) {
  std::vector<TensorInfo> none;
  const std::map<std::string, std::string> metadata{{"a", std::string(kMaxJsonTokenBytes, 'v')}};
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { lay_out_safetensors(none, metadata); }),
                    "expected at most 33554432"));
}

// --- Values round trip
// -------------------------------------------------------------------------------

TEST(Safetensors, EveryDtypeKeepsItsSizeThroughARoundTrip) {
  std::vector<TensorInfo> tensors;
  std::uint64_t data_bytes = 0;
  for (int i = 0; i <= static_cast<int>(Dtype::kU64); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    tensors.push_back(tensor_info(std::string(name_of(dtype)), {3, 8}, dtype));
    data_bytes += 3 * static_cast<std::uint64_t>(bits_of(dtype));
  }
  const std::string first = lay_out_safetensors(tensors, {});
  const SafetensorsHeader header = read_back(first + std::string(data_bytes, 'd'));
  ASSERT_EQ(header.tensors.size(), tensors.size());
  for (const TensorInfo& info : header.tensors) {
    EXPECT_EQ(info.name, name_of(info.dtype));
    EXPECT_EQ(info.bytes, 3 * static_cast<std::uint64_t>(bits_of(info.dtype))) << info.name;
  }
}

}  // namespace
}  // namespace suture::format
