#include "format/json.h"

#include <string>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::format {
namespace {

using test::holds;
using test::is_one_plain_line;
using test::TempDir;
using test::thrown_by;
using test::write_file;

std::string refusal_of(const std::string& text) {
  const std::string said = thrown_by<FormatError>([&] { parse_json(text, "config.json"); });
  EXPECT_TRUE(is_one_plain_line(said));
  EXPECT_TRUE(holds(said, "config.json: "));
  return said;
}

std::string nested_arrays(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(ParseJson, ReadsWhatIsValid) {
  const Json root = parse_json(" {\"a\":[1,2.5,null,true],\"b\":{\"a\":\"\\u00e9\"}} \n", "f");
  EXPECT_EQ(root["a"][0], 1);
  EXPECT_EQ(root["a"][1], 2.5);
  EXPECT_TRUE(root["a"][2].is_null());
  EXPECT_EQ(root["b"]["a"], "\u00E9");
}

TEST(ParseJson, RefusesInvalidText) {
  EXPECT_TRUE(holds(refusal_of(""), "not valid JSON"));
  EXPECT_TRUE(holds(refusal_of("{"), "not valid JSON"));
  EXPECT_TRUE(holds(refusal_of("{\"a\":1}x"), "not valid JSON"));
  EXPECT_TRUE(holds(refusal_of("{\"a\":1,}"), "not valid JSON"));
  EXPECT_TRUE(holds(refusal_of("// comment\n{}"), "not valid JSON"));
}

TEST(ParseJson, RefusesTextThatIsNotUtf8) {
  EXPECT_TRUE(holds(refusal_of("{\"a\":\"\xFF\"}"), "UTF-8"));
  EXPECT_TRUE(holds(refusal_of("{\"a\":\"\\ud800\"}"), "surrogate"));
}

TEST(ParseJson, RefusesAByteOrderMark) {
  EXPECT_TRUE(holds(refusal_of("\xEF\xBB\xBF{}"), "byte-order mark"));
}

TEST(ParseJson, RefusesANulByte) {
  EXPECT_TRUE(holds(refusal_of(std::string("{}\0", 3)), "a NUL at byte 2"));
}

TEST(ParseJson, RefusesAKeyTwiceInOneObject) {
  EXPECT_TRUE(holds(refusal_of("{\"a\":1,\"a\":1}"), "key 'a' twice"));
  EXPECT_TRUE(holds(refusal_of("{\"a\":[{\"b\":1,\"c\":{},\"b\":2}]}"), "key 'b' twice"));
  EXPECT_TRUE(holds(refusal_of("{\"a\":1,\"\\u0061\":1}"), "key 'a' twice"));
}

TEST(ParseJson, AcceptsAKeyInSeveralObjects) {
  EXPECT_NO_THROW(parse_json("{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}", "f"));
}

TEST(ParseJson, RefusesMoreThan64Levels) {
  EXPECT_NO_THROW(parse_json(std::string(64, '[') + "1" + std::string(64, ']'), "f"));
  EXPECT_TRUE(holds(refusal_of(nested_arrays(65)), "over 64 levels"));
}

TEST(ParseJson, RefusesManyNestedArraysAtOnce) {
  EXPECT_TRUE(holds(refusal_of(std::string(200'000, '[')), "over 64 levels"));
}

TEST(ParseJson, RefusesMoreThanAMillionKeysInOneObject) {
  std::string text = "{";
  for (int i = 0; i <= 1'000'000; ++i) text += "\"" + std::to_string(i) + "\":0,";
  EXPECT_TRUE(holds(refusal_of(text), "over 1000000 keys in one object"));
}

TEST(ParseJson, RefusesANumberTooLargeForAFloat) {
  EXPECT_TRUE(holds(refusal_of("[1e999]"), "number overflow"));
}

TEST(ParseJson, QuotesOnlyTheBeginningOfALongToken) {
  EXPECT_LT(refusal_of("[\"" + std::string(1'000'000, 'a')).size(), 2000u);
}

TEST(ReadJsonFile, NamesTheFile) {
  const TempDir dir;
  write_file(dir / "config.json", "{");
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { read_json_file(dir / "config.json", 100); }),
                    (dir / "config.json").string()));
}

TEST(ReadJsonFile, KeepsToItsLimit) {
  const TempDir dir;
  write_file(dir / "config.json", "{\"a\":1}");
  EXPECT_EQ(read_json_file(dir / "config.json", 7)["a"], 1);
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { read_json_file(dir / "config.json", 6); }),
                    "7 bytes; expected at most 6"));
}

}  // namespace
}  // namespace suture::format
