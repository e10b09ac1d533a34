// Safetensors files that are broken or hostile, one rule each.

#include <ostream>
#include <string>
#include <sys/stat.h>
#include <vector>

#include <gtest/gtest.h>

#include "suture/checkpoint.h"
#include "suture/error.h"

#include "corrupt/refusal.h"
#include "corrupt/safetensors_bytes.h"
#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;
using test::bytes_of_values;
using test::data_of;
using test::holds;
using test::kGoodDataBytes;
using test::kGoodHeader;
using test::little_endian;
using test::nested;
using test::open_bytes;
using test::read_all;
using test::refusal_of;
using test::safetensors_bytes;
using test::SafetensorsBuilder;
using test::TempDir;
using test::thrown_by;
using test::write_file;

std::string refusal_of_bytes(const std::string& bytes) {
  const TempDir dir;
  write_file(dir / "m.safetensors", bytes);
  return refusal_of(dir / "m.safetensors");
}

std::string refusal_of_header(const std::string& header, std::size_t data_bytes = 0) {
  return refusal_of_bytes(safetensors_bytes(header, data_of(data_bytes)));
}

// --- Headers that break one rule
// ---------------------------------------------------------------------

struct BrokenHeader {
  std::string title;
  std::string from, to;  // the edit of the good header
  std::string reason;
  std::string tensor = {};
  std::size_t data_bytes = kGoodDataBytes;
};

void PrintTo(const BrokenHeader& broken, std::ostream* out) { *out << broken.title; }

class SafetensorsRefuses : public testing::TestWithParam<BrokenHeader> {};

TEST_P(SafetensorsRefuses, Header) {
  const BrokenHeader& broken = GetParam();
  std::string header = kGoodHeader;
  const auto at = header.find(broken.from);
  ASSERT_NE(at, std::string::npos);
  header.replace(at, broken.from.size(), broken.to);
  const std::string said = refusal_of_header(header, broken.data_bytes);
  EXPECT_TRUE(holds(said, broken.reason));
  if (broken.tensor.empty()) return;
  EXPECT_TRUE(holds(said, ": tensor '" + broken.tensor + "': "));
}

constexpr const char* kBegin = R"({"a")";
constexpr const char* kEnd = "11]}}";
constexpr const char* kShapeA = "[2]";
constexpr const char* kShapeB = "[3]";
constexpr const char* kOffsetsA = "[0,8]";
constexpr const char* kOffsetsB = "[8,11]";
constexpr const char* kEntryB = R"({"dtype":"U8","shape":[3],"data_offsets":[8,11]})";

std::string ones(std::size_t count) {
  std::string numbers = "[1";
  for (std::size_t i = 1; i < count; ++i) numbers += ",1";
  return numbers + "]";
}

INSTANTIATE_TEST_SUITE_P(
    Text, SafetensorsRefuses,
    testing::Values(BrokenHeader{"InvalidUtf8", R"("b")", "\"b\xFF\"", "ill-formed UTF-8"},
                    BrokenHeader{"InvalidUtf8InMetadata", kBegin,
                                 "{\"__metadata__\":{\"k\":\"\xC3\"},\"a\"", "ill-formed UTF-8"},
                    BrokenHeader{"UnpairedSurrogate", R"("b")", R"("\ud800")", "surrogate"},
                    BrokenHeader{"ByteOrderMark", kBegin, "\xEF\xBB\xBF{\"a\"",
                                 "a byte-order mark"},
                    BrokenHeader{"TrailingNuls", kEnd, "11]}}\0\0"s, "a NUL at byte"},
                    BrokenHeader{"GarbageAfterTheObject", kEnd, "11]}} x", "not valid JSON"},
                    BrokenHeader{"SecondObjectAfterTheFirst", kEnd, "11]}}{}", "not valid JSON"},
                    BrokenHeader{"CutInTheMiddle", kEnd, "11]", "not valid JSON"},
                    BrokenHeader{"TrailingComma", kEnd, "11]},}", "not valid JSON"},
                    BrokenHeader{"Comment", kBegin, "/**/{\"a\"", "not valid JSON"}),
    [](const auto& test) { return test.param.title; });

INSTANTIATE_TEST_SUITE_P(
    Metadata, SafetensorsRefuses,
    testing::Values(
        BrokenHeader{"MetadataTwice", kBegin, R"({"__metadata__":{},"__metadata__":{},"a")",
                     "__metadata__ twice"},
        BrokenHeader{"NullMetadataThenMetadata", kBegin,
                     R"({"__metadata__":null,"__metadata__":{},"a")", "__metadata__ twice"},
        BrokenHeader{"MetadataKeyTwice", kBegin, R"({"__metadata__":{"k":"1","k":"2"},"a")",
                     "__metadata__ key 'k' twice"},
        BrokenHeader{"NumberInMetadata", kBegin, R"({"__metadata__":{"k":1},"a")",
                     "a number as the value of __metadata__ key 'k'; expected a string"},
        BrokenHeader{"NegativeNumberInMetadata", kBegin, R"({"__metadata__":{"k":-1},"a")",
                     "the negative number -1 as the value of __metadata__ key 'k'"},
        BrokenHeader{"FloatInMetadata", kBegin, R"({"__metadata__":{"k":1.5},"a")",
                     "the number 1.5 as the value of __metadata__ key 'k'"},
        BrokenHeader{"NullInMetadata", kBegin, R"({"__metadata__":{"k":null},"a")",
                     "null as the value of __metadata__ key 'k'"},
        BrokenHeader{"BooleanInMetadata", kBegin, R"({"__metadata__":{"k":true},"a")",
                     "a boolean as the value of __metadata__ key 'k'"},
        BrokenHeader{"ObjectInMetadata", kBegin, R"({"__metadata__":{"k":{}},"a")",
                     "an object as the value of __metadata__ key 'k'"},
        BrokenHeader{"ArrayInMetadata", kBegin, R"({"__metadata__":{"k":[]},"a")",
                     "an array as the value of __metadata__ key 'k'"},
        BrokenHeader{"ArrayAsMetadata", kBegin, R"({"__metadata__":[],"a")",
                     "an array as the entry '__metadata__'; expected an object"},
        BrokenHeader{"StringAsMetadata", kBegin, R"({"__metadata__":"x","a")",
                     "a string as the entry '__metadata__'; expected an object"}),
    [](const auto& test) { return test.param.title; });

INSTANTIATE_TEST_SUITE_P(
    Entry, SafetensorsRefuses,
    testing::Values(
        BrokenHeader{"SameNameTwice", R"("b":)", R"("a":)", "tensor 'a' twice"},
        BrokenHeader{"SameNameTwiceByEscape", R"("b":)", R"("\u0061":)", "tensor 'a' twice"},
        BrokenHeader{"EmptyName", R"("b":)", R"("":)", "a tensor without a name"},
        BrokenHeader{"NullEntry", kEntryB, "null", "null as the entry 'b'", {}, 8},
        BrokenHeader{"NumberEntry", kEntryB, "1", "a number as the entry 'b'", {}, 8},
        BrokenHeader{"StringEntry", kEntryB, "\"x\"", "a string as the entry 'b'", {}, 8},
        BrokenHeader{"ArrayEntry", kEntryB, "[]", "an array as the entry 'b'", {}, 8},
        BrokenHeader{"BooleanEntry", kEntryB, "false", "a boolean as the entry 'b'", {}, 8},
        BrokenHeader{"EmptyEntry", kEntryB, "{}", "no dtype", "b", 8},
        BrokenHeader{"NoDtype", R"("dtype":"U8",)", "", "no dtype", "b"},
        BrokenHeader{"NoShape", R"("shape":[3],)", "", "no shape", "b"},
        BrokenHeader{"NoOffsets", R"(,"data_offsets":[8,11])", "", "data_offsets of 0 numbers",
                     "b"},
        BrokenHeader{"DtypeTwice", R"("dtype":"U8",)", R"("dtype":"U8","dtype":"U8",)",
                     "'dtype' twice", "b"},
        BrokenHeader{"ShapeTwice", R"("shape":[3],)", R"("shape":[3],"shape":[3],)",
                     "'shape' twice", "b"},
        BrokenHeader{"OffsetsTwice", R"("data_offsets":[8,11])",
                     R"("data_offsets":[8,11],"data_offsets":[8,11])", "'data_offsets' twice", "b"},
        BrokenHeader{"UnknownFieldNestedTooDeep", R"("dtype":"U8",)",
                     nested(R"("x":)", 65, R"(,"dtype":"U8",)"), "nested over 64 levels", "b"}),
    [](const auto& test) { return test.param.title; });

INSTANTIATE_TEST_SUITE_P(
    DtypeOf, SafetensorsRefuses,
    testing::Values(
        BrokenHeader{"UnknownDtype", "\"U8\"", "\"F128\"", "unknown dtype 'F128'", "b"},
        BrokenHeader{"LowerCaseDtype", "\"U8\"", "\"u8\"", "unknown dtype 'u8'", "b"},
        BrokenHeader{"EmptyDtype", "\"U8\"", "\"\"", "unknown dtype ''", "b"},
        BrokenHeader{"NumberAsDtype", "\"U8\"", "8", "a number in 'dtype'; expected a string", "b"},
        BrokenHeader{"NullAsDtype", "\"U8\"", "null", "null in 'dtype'; expected a string", "b"},
        BrokenHeader{"ArrayAsDtype", "\"U8\"", "[\"U8\"]", "an array in 'dtype'", "b"},
        BrokenHeader{"ObjectAsDtype", "\"U8\"", "{}", "an object in 'dtype'", "b"},
        BrokenHeader{"HalfAByteOf4Bits", R"("U8","shape":[3])", R"("F4","shape":[5])",
                     "20 bits of data; expected whole bytes", "b"},
        BrokenHeader{"PartOfAByteOf6Bits", R"("U8","shape":[3])", R"("F6_E2M3","shape":[5])",
                     "30 bits of data; expected whole bytes", "b"}),
    [](const auto& test) { return test.param.title; });

INSTANTIATE_TEST_SUITE_P(
    Shape, SafetensorsRefuses,
    testing::Values(
        BrokenHeader{"NegativeDimension", kShapeB, "[-3]", "the negative number -3 in 'shape'",
                     "b"},
        BrokenHeader{"FractionalDimension", kShapeB, "[3.0]", "the number 3.0 in 'shape'", "b"},
        BrokenHeader{"DimensionWithExponent", kShapeB, "[3e0]", "the number 3e0 in 'shape'", "b"},
        BrokenHeader{"StringAsDimension", kShapeB, "[\"3\"]", "a string in 'shape'", "b"},
        BrokenHeader{"NullAsDimension", kShapeB, "[null]", "null in 'shape'", "b"},
        BrokenHeader{"BooleanAsDimension", kShapeB, "[true]", "a boolean in 'shape'", "b"},
        BrokenHeader{"NestedShape", kShapeB, "[[3]]", "an array in 'shape'", "b"},
        BrokenHeader{"ObjectInShape", kShapeB, "[{}]", "an object in 'shape'", "b"},
        BrokenHeader{"NumberAsShape", kShapeB, "3", "a number in 'shape'; expected an array", "b"},
        BrokenHeader{"NullAsShape", kShapeB, "null", "null in 'shape'; expected an array", "b"},
        BrokenHeader{"ObjectAsShape", kShapeB, "{}", "an object in 'shape'", "b"},
        BrokenHeader{"DimensionOf2To63", kShapeB, "[9223372036854775808]",
                     "dimension 9223372036854775808; expected below 2^63", "b"},
        BrokenHeader{"LargestDimension", kShapeB, "[18446744073709551615]",
                     "dimension 18446744073709551615", "b"},
        BrokenHeader{"DimensionOf2To64", kShapeB, "[18446744073709551616]",
                     "the number 18446744073709551616 in 'shape'", "b"},
        BrokenHeader{"LargestDimensionTimesZero", kShapeB, "[18446744073709551615,0]",
                     "dimension 18446744073709551615", "b"},
        BrokenHeader{"ProductThatWrapsToThree", kShapeB, "[6148914691236517205,9]",  // 2^64 * 3 - 3
                     "a shape whose product overflows", "b"},
        BrokenHeader{"ProductThatOverflowsBeforeAZero", kShapeB, "[4611686018427387904,4,0]",
                     "a shape whose product overflows", "b"},
        BrokenHeader{"BitsThatWrapToTheRightSize", kShapeA, "[576460752303423490]",  // 2^59 + 2
                     "a size that overflows", "a"},
        BrokenHeader{"65Dimensions", R"("shape":[3],"data_offsets":[8,11])",
                     R"("shape":)" + ones(65) + R"(,"data_offsets":[8,9])", "over 64 dimensions",
                     "b", 9},
        BrokenHeader{"EndlessDimensions", kShapeB, ones(100'000), "more than 64 numbers", "b"}),
    [](const auto& test) { return "Of" + test.param.title; });

INSTANTIATE_TEST_SUITE_P(
    Offsets, SafetensorsRefuses,
    testing::Values(
        BrokenHeader{"Three", kOffsetsB, "[8,11,11]", "data_offsets of 3 numbers; expected two",
                     "b"},
        BrokenHeader{"One", kOffsetsB, "[8]", "data_offsets of 1 numbers; expected two", "b"},
        BrokenHeader{"None", kOffsetsB, "[]", "data_offsets of 0 numbers; expected two", "b"},
        BrokenHeader{"Strings", kOffsetsB, "[\"8\",\"11\"]", "a string in 'data_offsets'", "b"},
        BrokenHeader{"Negative", kOffsetsB, "[-1,2]", "the negative number -1 in 'data_offsets'",
                     "b"},
        BrokenHeader{"Fractional", kOffsetsB, "[8.0,11]", "the number 8.0 in 'data_offsets'", "b"},
        BrokenHeader{"Of2To64", kOffsetsB, "[8,18446744073709551616]",
                     "the number 18446744073709551616 in 'data_offsets'", "b"},
        BrokenHeader{"EndBeforeBegin", kOffsetsB, "[11,8]", "data_offsets end 8 before their begin",
                     "b"},
        BrokenHeader{"TooFewBytesForTheShape", kShapeA, "[3]",
                     "8 bytes of data; expected 12 for F32", "a"},
        BrokenHeader{"TooManyBytesForTheShape", kShapeB, "[2]",
                     "3 bytes of data; expected 2 for U8", "b"},
        BrokenHeader{"BytesForAZeroSizedTensor", kShapeB, "[0]", "3 bytes of data; expected 0",
                     "b"},
        BrokenHeader{"Hole", kOffsetsB, "[9,12]",
                     "a hole before its data at byte 9; expected data from byte 8", "b", 12},
        BrokenHeader{"Overlap", kOffsetsB, "[7,10]",
                     "an overlap before its data at byte 7; expected data from byte 8", "b", 10},
        BrokenHeader{"SameDataTwice",
                     R"("U8","shape":[3],"data_offsets":[8,11])",
                     R"("F32","shape":[2],"data_offsets":[0,8])",
                     "an overlap",
                     {},
                     8},
        BrokenHeader{"DataThatBeginsLate", R"("F32","shape":[2],"data_offsets":[0,8])",
                     R"("U8","shape":[7],"data_offsets":[1,8])", "a hole before its data at byte 1",
                     "a"},
        BrokenHeader{"ZeroSizedInsideAnother",
                     R"("U8","shape":[3],"data_offsets":[8,11])",
                     R"("U8","shape":[0],"data_offsets":[4,4])",
                     "an overlap before its data at byte 4; expected data from byte 8",
                     {},
                     8},
        BrokenHeader{"ZeroSizedPastTheEnd", R"("U8","shape":[3],"data_offsets":[8,11])",
                     R"("U8","shape":[0],"data_offsets":[9,9])", "a hole before its data at byte 9",
                     "b", 8},
        BrokenHeader{"EarlyEndOfFile", kEnd, kEnd,
                     "the file ends 1 bytes early; a download or copy was cut short", "b", 10},
        BrokenHeader{"EarlyEndInAnEarlierTensor", kEnd, kEnd, "the file ends 8 bytes early", "a",
                     3},
        BrokenHeader{"EndWithoutAnyData", kEnd, kEnd, "the file ends 11 bytes early", "a", 0},
        BrokenHeader{
            "BytesAfterTheLastTensor", kEnd, kEnd, "4 bytes after the last tensor", {}, 15}),
    [](const auto& test) { return test.param.title; });

TEST(SafetensorsRefusesRoot, ThatIsNoObject) {
  EXPECT_TRUE(holds(refusal_of_header("[]"), "an array as the header; expected an object"));
  EXPECT_TRUE(holds(refusal_of_header("1"), "a number as the header"));
  EXPECT_TRUE(holds(refusal_of_header("-1"), "the negative number -1 as the header"));
  EXPECT_TRUE(holds(refusal_of_header("null"), "null as the header"));
  EXPECT_TRUE(holds(refusal_of_header("\"x\""), "a string as the header"));
  EXPECT_TRUE(holds(refusal_of_header("        "), "not valid JSON"));
}

TEST(SafetensorsRefusesRoot, OfManyNestedArrays) {
  EXPECT_TRUE(holds(refusal_of_header(nested("", 200'000, "")), "an array as the header"));
}

TEST(SafetensorsRefusesNesting, InAnUnknownField) {
  EXPECT_TRUE(holds(refusal_of_header(nested(R"({"a":{"x":)", 200'000, "}}")),
                    "tensor 'a': header nested over 64 levels deep"));
}

TEST(SafetensorsRefusesNesting, OfObjectsInAnUnknownField) {
  std::string header = R"({"a":{"x":)";
  for (int i = 0; i < 65; ++i) header += "{\"dtype\":";
  EXPECT_TRUE(holds(refusal_of_header(header), "nested over 64 levels deep"));
}

TEST(SafetensorsRefusesRanges, SharedByManyTensors) {
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i) {
    header += (i > 0 ? ",\"" : "\"") + std::to_string(i) +
              R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  }
  EXPECT_TRUE(holds(refusal_of_header(header + "}", 8), "an overlap"));
}

TEST(SafetensorsRefusesNumbers, TooLargeForAnything) {
  EXPECT_TRUE(
      holds(refusal_of_header(R"({"a":{"dtype":"U8","shape":[1e999],"data_offsets":[0,0]}})"),
            "not valid JSON"));
}

TEST(SafetensorsRefusal, QuotesOnlyTheBeginningOfALongToken) {
  EXPECT_LT(refusal_of_header("{\"" + std::string(10'000'000, 'n')).size(), 2000u);
}

TEST(SafetensorsRefusal, NamesATensorThatWouldForgeTheTerminalOnOnePlainLine) {
  const std::string said =
      refusal_of_header(R"({"\u0000\n\u001b[31m</script>\u202e":{"dtype":"F128"}})");
  EXPECT_TRUE(holds(said, "tensor '\\x00\\x0A\\x1B[31m</script>\\u{202E}'"));
}

TEST(SafetensorsRefusal, ShortensAHugeName) {
  const std::string said =
      refusal_of_header("{\"" + std::string(1'000'000, 'n') + "\":{\"dtype\":\"F128\"}}");
  EXPECT_LT(said.size(), 1000u);
  EXPECT_TRUE(holds(said, "(1000000 bytes)"));
}

// --- Files whose length or beginning is wrong
// --------------------------------------------------------

TEST(SafetensorsRefusesFile, ThatIsEmpty) {
  EXPECT_TRUE(holds(refusal_of_bytes(""), "0 bytes; expected at least 8"));
}

TEST(SafetensorsRefusesFile, TooShortForALength) {
  for (std::size_t bytes = 1; bytes < 8; ++bytes) {
    EXPECT_TRUE(holds(refusal_of_bytes(std::string(bytes, '\0')),
                      std::to_string(bytes) + " bytes; expected at least 8"));
  }
}

TEST(SafetensorsRefusesFile, WithAnEmptyHeader) {
  EXPECT_TRUE(holds(refusal_of_bytes(little_endian(0)), "not valid JSON"));
  EXPECT_TRUE(holds(refusal_of_bytes(little_endian(0) + "{}"), "not valid JSON"));
}

TEST(SafetensorsRefusesFile, WithAHeaderOfOneBrace) {
  EXPECT_TRUE(holds(refusal_of_bytes(little_endian(1) + "{"), "not valid JSON"));
}

TEST(SafetensorsRefusesFile, WithTheLargestHeaderLength) {
  EXPECT_TRUE(holds(refusal_of_bytes(little_endian(~0ull) + "{}"),
                    "a header of 18446744073709551615 bytes; expected at most 2"));
}

TEST(SafetensorsRefusesFile, WithAHeaderLongerThanTheFile) {
  EXPECT_TRUE(
      holds(refusal_of_bytes(little_endian(3) + "{}"), "a header of 3 bytes; expected at most 2"));
}

TEST(SafetensorsRefusesFile, WithAHeaderOverTheLimit) {
  const TempDir dir;
  write_file(dir / "m.safetensors", little_endian(100'000'001) + "{}");
  fs::resize_file(dir / "m.safetensors", 200'000'000);  // sparse
  EXPECT_TRUE(holds(refusal_of(dir / "m.safetensors"),
                    "a header of 100000001 bytes; expected at most 100000000"));
}

TEST(SafetensorsRefusesFile, ThatIsAGitLfsPointer) {
  const std::string said =
      refusal_of_bytes("version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 1234\n");
  EXPECT_TRUE(holds(said, "a git-LFS pointer"));
  EXPECT_TRUE(holds(said, "git lfs pull"));
}

TEST(SafetensorsRefusesFile, ThatIsAnHtmlPage) {
  for (const char* page : {"<!DOCTYPE html>\n<html>", "<!doctype html>", "<html><head>"}) {
    const std::string said = refusal_of_bytes(page);
    EXPECT_TRUE(holds(said, "an HTML page"));
    EXPECT_TRUE(holds(said, "download again"));
  }
}

TEST(SafetensorsRefusesFile, ThatIsAZipArchive) {
  const std::string said = refusal_of_bytes("PK\x03\x04\x14\x00\x00\x00\x00\x00"s);
  EXPECT_TRUE(holds(said, "a zip archive"));
  EXPECT_TRUE(holds(said, ".pt or .bin"));
}

TEST(SafetensorsRefusesFile, ThatIsAGzipFile) {
  const std::string said = refusal_of_bytes("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03"s);
  EXPECT_TRUE(holds(said, "a gzip file"));
  EXPECT_TRUE(holds(said, "decompress"));
}

TEST(SafetensorsRefusesFile, ThatIsAGgufModel) {
  const std::string said = refusal_of_bytes("GGUF\x03\x00\x00\x00"s + std::string(16, '\0'));
  EXPECT_TRUE(holds(said, "a GGUF file"));
  EXPECT_TRUE(holds(said, "convert it to safetensors"));
}

TEST(SafetensorsRefusesFile, ThatIsAFifo) {
  const TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "m.safetensors").c_str(), 0600), 0);
  EXPECT_TRUE(holds(refusal_of<IoError>(dir / "m.safetensors"), "a FIFO"));
}

TEST(SafetensorsRefusesFile, ThatIsADevice) {
  EXPECT_TRUE(holds(refusal_of<IoError>("/dev/zero"), "a device"));
}

// --- Files that change under the reader
// --------------------------------------------------------------

TEST(SafetensorsNotices, AFileThatShrinks) {
  const TempDir dir;
  const Checkpoint checkpoint =
      open_bytes(dir, SafetensorsBuilder().add("a", std::vector<float>(10'000, 1)).bytes());
  fs::resize_file(dir / "m.safetensors", 4096);
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { read_all(checkpoint, "a"); }),
                    "ends at byte 4096, shorter than when it was opened"));
}

TEST(SafetensorsNotices, AFileThatIsReplaced) {
  const TempDir dir;
  const std::string bytes = SafetensorsBuilder().add("a", {1, 2}).bytes();
  const Checkpoint checkpoint = open_bytes(dir, bytes);
  EXPECT_NO_THROW(checkpoint.verify_unchanged());
  write_file(dir / "new", bytes);
  fs::rename(dir / "new", dir / "m.safetensors");
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { checkpoint.verify_unchanged(); }), "changed"));
  EXPECT_EQ(read_all(checkpoint, "a"), bytes_of_values<float>({1, 2}));  // still the old file
}

}  // namespace
}  // namespace suture
