#include "surgery/tokenizer_content.h"

#include <string>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::TempDir;
using test::thrown_by;

TokenizerContent read(const std::string& text) {
  const TempDir dir;
  test::write_file(dir / "tokenizer.json", text);
  return read_tokenizer_content(dir.path()).value();
}

std::string bpe(const std::string& vocabulary, const std::string& merges = "[]",
                const std::string& rest = "") {
  return R"({"model":{"type":"BPE","vocab":)" + vocabulary + R"(,"merges":)" + merges + "}" + rest +
         "}";
}

TEST(TokenizerContent, IsNothingWithoutATokenizer) {
  const TempDir dir;
  EXPECT_FALSE(read_tokenizer_content(dir.path()));
  EXPECT_FALSE(read_tokenizer_content({}));
}

TEST(TokenizerContent, MapsTokensToRows) {
  const TokenizerContent content =
      read(bpe(R"({"a":0,"b":1})", "[]", R"(,"added_tokens":[{"content":"<s>","id":2}])"));
  EXPECT_EQ(content.ids, (std::map<std::string, std::int64_t>{{"<s>", 2}, {"a", 0}, {"b", 1}}));
}

TEST(TokenizerContent, TakesAUnigramListInIdOrder) {
  const TokenizerContent content = read(bpe(R"([["a",-1.5],["b",-2]])"));
  EXPECT_EQ(content.ids, (std::map<std::string, std::int64_t>{{"a", 0}, {"b", 1}}));
}

TEST(TokenizerContent, LayoutAndOrderOfTheFileDoNotMatter) {
  const auto a = read(bpe(R"({"a":0,"b":1})", R"(["a b"])"));
  const auto b = read(bpe(R"({ "b" : 1,  "a" : 0 })", R"([["a","b"]])"));
  EXPECT_TRUE(a.digest() == b.digest());
}

TEST(TokenizerContent, TellsIdsTextsMergesAndRulesApart) {
  const auto plain = read(bpe(R"({"a":0,"b":1})", R"(["a b"])"));
  const auto ids = read(bpe(R"({"a":1,"b":0})", R"(["a b"])"));
  const auto texts = read(bpe(R"({"a":0,"c":1})", R"(["a b"])"));
  const auto merges = read(bpe(R"({"a":0,"b":1})", R"(["b a"])"));
  const auto rules = read(bpe(R"({"a":0,"b":1})", R"(["a b"])", R"(,"normalizer":{"type":"NFC"})"));
  for (const TokenizerContent* other : {&ids, &texts, &merges, &rules})
    EXPECT_FALSE(plain.digest() == other->digest());
  EXPECT_TRUE(plain.rules == ids.rules);
  EXPECT_TRUE(plain.tokens == merges.tokens);
  EXPECT_TRUE(plain.tokens == rules.tokens);
  EXPECT_FALSE(plain.rules == rules.rules);
}

// Lengths go into the digest: no text can pose as two.
TEST(TokenizerContent, TokensCannotBeGluedTogether) {
  const auto two = read(bpe(R"({"a":0,"b":1})"));
  EXPECT_FALSE(read(bpe("{\"a=0\\nb\":1}")).tokens == two.tokens);
  EXPECT_FALSE(read(bpe("{\"a=0\\n1:b\":1}")).tokens == two.tokens);
}

TEST(TokenizerContent, SettingsThatSayNothingAreTheSameAsNone) {
  const std::string with = R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[],
      "byte_fallback":false,"ignore_merges":null,"continuing_subword_prefix":""}})";
  EXPECT_TRUE(read(with).rules == read(bpe(R"({"a":0})")).rules);
  EXPECT_FALSE(
      read(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[],"byte_fallback":true}})").rules ==
      read(bpe(R"({"a":0})")).rules);
}

TEST(TokenizerContent, RefusesABrokenTokenizer) {
  for (const std::string& text :
       {std::string("{"), std::string("[]"), std::string("{}"), std::string(R"({"model":3})"),
        bpe("3"), bpe(R"({"a":-1})"), bpe(R"({"a":"0"})"), bpe(R"({"a":1.5})"),
        bpe(R"({"a":1e300})"), bpe(R"({"a":100000001})"), bpe(R"([3])"), bpe(R"([[]])"),
        bpe(R"([[1,2]])"),
        bpe(R"({"a":0})", "[]", R"(,"added_tokens":[{"content":"b","id":-1}])")}) {
    EXPECT_TRUE(holds(thrown_by<FormatError>([&] { read(text); }), "tokenizer.json")) << text;
  }
}

TEST(TokenizerContent, TakesVocabularyAndMergesInFilesOfTheirOwn) {
  const TempDir dir;
  test::write_file(dir / "vocab.json", R"({"a":0,"b":1})");
  EXPECT_FALSE(read_tokenizer_content(dir.path()));
  test::write_file(dir / "merges.txt", "a b\n");
  const auto content = read_tokenizer_content(dir.path());
  ASSERT_TRUE(content);
  EXPECT_EQ(content->ids.size(), 2u);
  EXPECT_TRUE(content->tokens == read(bpe(R"({"a":0,"b":1})")).tokens);
}

TEST(TokenizerContent, OfASentencepieceModelIsOnlyCompared) {
  const TempDir dir;
  test::write_file(dir / "tokenizer.model", "\x0a\x0b");
  const auto content = read_tokenizer_content(dir.path());
  ASSERT_TRUE(content);
  EXPECT_TRUE(content->ids.empty());
  test::write_file(dir / "tokenizer.model", "\x0a\x0c");
  EXPECT_FALSE(read_tokenizer_content(dir.path())->digest() == content->digest());
}

}  // namespace
}  // namespace suture
