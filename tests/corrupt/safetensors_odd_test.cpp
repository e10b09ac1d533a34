// Safetensors files that are odd, but right.

#include <limits>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/checkpoint.h"

#include "corrupt/safetensors_bytes.h"
#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture {
namespace {

using namespace std::string_literals;
using test::bytes_of_values;
using test::data_of;
using test::holds;
using test::kGoodDataBytes;
using test::kGoodHeader;
using test::nested;
using test::open_bytes;
using test::open_header;
using test::read_all;
using test::safetensors_bytes;
using test::SafetensorsBuilder;
using test::TempDir;

TEST(SafetensorsAccepts, TheHeaderThatTheRefusedOnesAreMadeFrom) {
  const TempDir dir;
  const Checkpoint checkpoint = open_header(dir, kGoodHeader, kGoodDataBytes);
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_TRUE(checkpoint.warnings().empty());
}

TEST(SafetensorsAccepts, WhitespaceAroundTheHeader) {
  const TempDir dir;
  const std::string around = " \t\r\n" + kGoodHeader + "  \n   ";
  EXPECT_EQ(open_header(dir, around, kGoodDataBytes).tensors().size(), 2u);
}

TEST(SafetensorsAccepts, NoTensorsButSaysSo) {
  const TempDir dir;
  for (const char* header : {"{}", R"({"__metadata__":{"format":"pt"}})"}) {
    const Checkpoint checkpoint = open_header(dir, header);
    EXPECT_TRUE(checkpoint.tensors().empty());
    ASSERT_EQ(checkpoint.warnings().size(), 1u);
    EXPECT_TRUE(holds(checkpoint.warnings()[0], "no tensors"));
  }
}

TEST(SafetensorsAccepts, NullMetadata) {
  const TempDir dir;
  const Checkpoint checkpoint =
      open_header(dir, R"({"__metadata__":null,)" + kGoodHeader.substr(1), kGoodDataBytes);
  EXPECT_TRUE(checkpoint.metadata().empty());
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
}

TEST(SafetensorsAccepts, LargeMetadata) {
  const TempDir dir;
  const std::string value(10'000'000, 'v');
  const Checkpoint checkpoint = open_header(dir, R"({"__metadata__":{"k":")" + value + "\"}}");
  EXPECT_EQ(checkpoint.metadata().at("k"), value);
}

TEST(SafetensorsAccepts, ZeroSizedTensorsBetweenOthers) {
  const TempDir dir;
  const Checkpoint checkpoint = open_bytes(dir, SafetensorsBuilder()
                                                    .add("z1", Dtype::kF32, {0}, "")
                                                    .add("a", {1, 2})
                                                    .add("z2", Dtype::kF32, {3, 0}, "")
                                                    .add("z3", Dtype::kF4, {0}, "")
                                                    .add("b", {3})
                                                    .add("z4", Dtype::kU8, {0, 9}, "")
                                                    .bytes());
  ASSERT_EQ(checkpoint.tensors().size(), 6u);
  EXPECT_EQ(read_all(checkpoint, "a"), bytes_of_values<float>({1, 2}));
  EXPECT_EQ(read_all(checkpoint, "b"), bytes_of_values<float>({3}));
  EXPECT_EQ(checkpoint.find("z2")->elements, 0u);
  EXPECT_EQ(read_all(checkpoint, "z4"), "");
}

TEST(SafetensorsAccepts, TheLargestDimensionWithoutElements) {
  const TempDir dir;
  const Checkpoint checkpoint = open_header(
      dir, R"({"a":{"dtype":"U8","shape":[9223372036854775807,0],"data_offsets":[0,0]}})");
  EXPECT_EQ(checkpoint.find("a")->shape[0], std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(checkpoint.find("a")->elements, 0u);
}

TEST(SafetensorsAccepts, AScalar) {
  const TempDir dir;
  const Checkpoint checkpoint = open_bytes(
      dir, SafetensorsBuilder().add("s", Dtype::kF32, {}, bytes_of_values<float>({7})).bytes());
  EXPECT_TRUE(checkpoint.find("s")->shape.empty());
  EXPECT_EQ(read_all(checkpoint, "s"), bytes_of_values<float>({7}));
}

TEST(SafetensorsAccepts, SixtyFourDimensions) {
  const TempDir dir;
  const Checkpoint checkpoint = open_bytes(
      dir,
      SafetensorsBuilder().add("a", Dtype::kU8, std::vector<std::int64_t>(64, 1), "x").bytes());
  EXPECT_EQ(checkpoint.find("a")->shape.size(), 64u);
}

TEST(SafetensorsAccepts, UnknownFieldsNestedToTheLimit) {
  const TempDir dir;
  const Checkpoint checkpoint = open_header(
      dir,
      nested(R"({"a":{"x":)", 64, R"(,"dtype":"U8","shape":[1],)") + R"("data_offsets":[0,1]}})",
      1);
  EXPECT_EQ(checkpoint.tensors().size(), 1u);
}

TEST(SafetensorsAccepts, EveryDtype) {
  const TempDir dir;
  SafetensorsBuilder builder;
  std::map<std::string, std::string> expected;
  for (int i = 0; i <= static_cast<int>(Dtype::kU64); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    const std::string name(name_of(dtype));
    expected[name] =
        std::string(static_cast<std::size_t>(bits_of(dtype)), static_cast<char>('A' + i));
    builder.add(name, dtype, {4, 2}, expected[name]);
  }
  const Checkpoint checkpoint = open_bytes(dir, builder.bytes());
  for (const auto& [name, data] : expected) {
    EXPECT_EQ(name_of(checkpoint.find(name)->dtype), name);
    EXPECT_EQ(checkpoint.find(name)->elements, 8u);
    EXPECT_EQ(read_all(checkpoint, name), data);
  }
}

TEST(SafetensorsAccepts, DtypesThatAreOnlyCarried) {
  for (const Dtype dtype : {Dtype::kF8E4M3, Dtype::kF8E8M0, Dtype::kC64, Dtype::kU64}) {
    const TempDir dir;
    const Checkpoint checkpoint = open_bytes(
        dir, SafetensorsBuilder()
                 .add("a", dtype, {1}, data_of(static_cast<std::size_t>(bytes_of(dtype))))
                 .bytes());
    EXPECT_FALSE(is_computable(checkpoint.find("a")->dtype)) << name_of(dtype);
  }
}

TEST(SafetensorsAccepts, DataAtAnOddOffset) {
  const TempDir dir;
  const Checkpoint checkpoint = open_bytes(
      dir, SafetensorsBuilder().add("u", Dtype::kU8, {1}, "x").add("f", {1.5F, -2}).bytes());
  EXPECT_EQ(read_all(checkpoint, "f"), bytes_of_values<float>({1.5F, -2}));
}

TEST(SafetensorsAccepts, AHeaderOfAnyLength) {
  for (std::size_t padding = 0; padding < 8; ++padding) {
    const TempDir dir;
    const std::string header = kGoodHeader + std::string(padding, ' ');
    const Checkpoint checkpoint =
        open_bytes(dir, safetensors_bytes(header, bytes_of_values<float>({1, 2}) + "xyz"));
    EXPECT_EQ(read_all(checkpoint, "a"), bytes_of_values<float>({1, 2}));
    EXPECT_EQ(read_all(checkpoint, "b"), "xyz");
  }
}

// A length of 0x8b1f begins with the two bytes of a gzip file.
TEST(SafetensorsAccepts, AHeaderWhoseLengthLooksLikeGzip) {
  const TempDir dir;
  const std::string header = kGoodHeader + std::string(0x8b1f - kGoodHeader.size(), ' ');
  EXPECT_EQ(open_header(dir, header, kGoodDataBytes).tensors().size(), 2u);
}

TEST(SafetensorsAccepts, ABooleanThatIsNeitherZeroNorOne) {
  const TempDir dir;
  const Checkpoint checkpoint =
      open_bytes(dir, SafetensorsBuilder().add("b", Dtype::kBool, {2}, "\x05\x01").bytes());
  EXPECT_EQ(read_all(checkpoint, "b"), "\x05\x01");
}

TEST(SafetensorsAccepts, NamesWithControlCharacters) {
  const TempDir dir;
  const Checkpoint checkpoint =
      open_header(dir,
                  R"({"\u0000\n\u001b[31m</script>\u202e":{"dtype":"U8","shape":[1],)"
                  R"("data_offsets":[0,1]}})",
                  1);
  EXPECT_EQ(checkpoint.tensors()[0].name, "\0\n\x1B[31m</script>\u202E"s);
  EXPECT_NE(checkpoint.find("\0\n\x1B[31m</script>\u202E"s), nullptr);
}

TEST(SafetensorsAccepts, AHugeNameButSaysSo) {
  const TempDir dir;
  const std::string name(1'000'000, 'n');
  const Checkpoint checkpoint = open_bytes(dir, SafetensorsBuilder().add(name, {1, 2}).bytes());
  EXPECT_EQ(read_all(checkpoint, name), bytes_of_values<float>({1, 2}));
  ASSERT_EQ(checkpoint.warnings().size(), 1u);
  EXPECT_TRUE(holds(checkpoint.warnings()[0], "1000000 bytes"));
  EXPECT_LT(checkpoint.warnings()[0].size(), 1000u);
}

TEST(SafetensorsAccepts, NotANumberAndInfinity) {
  const TempDir dir;
  const std::vector<float> values{std::numeric_limits<float>::quiet_NaN(),
                                  std::numeric_limits<float>::infinity(),
                                  -std::numeric_limits<float>::infinity()};
  const Checkpoint checkpoint = open_bytes(dir, SafetensorsBuilder().add("a", values).bytes());
  EXPECT_EQ(read_all(checkpoint, "a"), bytes_of_values(values));
}

}  // namespace
}  // namespace suture
