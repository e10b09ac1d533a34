#include "suture/tokenizer.h"

#include <random>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/thrown.h"
#include "tokenizer/byte_level.h"

namespace suture {
namespace {

using nlohmann::json;
using test::holds;
using test::TempDir;
using test::thrown_by;

// A byte-level tokenizer: the 256 bytes, then what the merges make.
json byte_level_json() {
  json vocab = json::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string token;
    append_byte_level(std::string(1, static_cast<char>(byte)), token);
    vocab[token] = byte;
  }
  json merges = json::array({"a b", json::array({"ab", "c"}), "b c", "\u0120 a"});
  vocab["ab"] = 256;
  vocab["abc"] = 257;
  vocab["bc"] = 258;
  vocab["\u0120a"] = 259;
  return {{"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"added_tokens",
           {{{"id", 260}, {"content", "<end>"}, {"special", true}, {"normalized", false}}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

Tokenizer open_json(const json& content, const json& config = nullptr) {
  const TempDir dir;
  test::write_file(dir / "tokenizer.json", content.dump());
  if (!config.is_null()) test::write_file(dir / "tokenizer_config.json", config.dump());
  return Tokenizer::open(dir.path().string());
}

using Ids = std::vector<std::int64_t>;

TEST(Tokenizer, MergesByRankThenFromTheLeft) {
  const Tokenizer tokenizer = open_json(byte_level_json());
  EXPECT_EQ(tokenizer.encode("abc"), (Ids{257}));
  EXPECT_EQ(tokenizer.encode("bca"), (Ids{258, 'a'}));
  EXPECT_EQ(tokenizer.encode(" abc"), (Ids{32, 257}));
  EXPECT_EQ(tokenizer.encode("ab<end>c"), (Ids{256, 260, 'c'}));
}

TEST(Tokenizer, LongPiecesMergeAsShortOnes) {
  const Tokenizer tokenizer = open_json(byte_level_json());
  std::string text;
  Ids expected;
  for (int i = 0; i < 40; ++i) {
    text += "abcb";
    expected.insert(expected.end(), {257, 'b'});
  }
  EXPECT_EQ(tokenizer.encode(text), expected);
}

TEST(Tokenizer, DecodeInvertsEncodeOfAnyText) {
  const Tokenizer tokenizer = open_json(byte_level_json());
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (auto length = random() % 40; length > 0; --length) {
      static constexpr const char* kParts[] = {"a",      "b",      "c",          " ", "\n",
                                               "\u00e9", "\u4e2d", "\U0001f600", "1", "<"};
      text += kParts[random() % std::size(kParts)];
    }
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Tokenizer, IllFormedBytesCountAsReplacementCharacters) {
  const Tokenizer tokenizer = open_json(byte_level_json());
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a\xF0\x9F\x80z\xC0\xED\xA0")),
            "a\uFFFDz\uFFFD\uFFFD\uFFFD");
}

TEST(Tokenizer, SpecialTokensAreSkippedOrShown) {
  const Tokenizer tokenizer = open_json(byte_level_json());
  EXPECT_EQ(tokenizer.decode({257, 260}), "abc");
  EXPECT_EQ(tokenizer.decode({257, 260}, false), "abc<end>");
  EXPECT_EQ(tokenizer.id_of("<end>"), 260);
  EXPECT_EQ(tokenizer.token_of(259), "\u0120a");
  EXPECT_EQ(tokenizer.vocab_size(), 261);
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { tokenizer.decode({261}); }), "id 261"));
}

TEST(Tokenizer, EndTokenComesFromTheConfiguration) {
  EXPECT_EQ(open_json(byte_level_json(), {{"eos_token", "<end>"}}).eos_id(), 260);
  EXPECT_EQ(open_json(byte_level_json(), {{"eos_token", {{"content", "<end>"}}}}).eos_id(), 260);
  EXPECT_EQ(open_json(byte_level_json(), {{"eos_token", nullptr}}).eos_id(), std::nullopt);
}

TEST(Tokenizer, DigestTellsWhatDecidesIds) {
  const std::string plain = open_json(byte_level_json()).digest();
  EXPECT_EQ(open_json(byte_level_json()).digest(), plain);
  json changed = byte_level_json();
  changed["model"]["merges"].erase(3);
  EXPECT_NE(open_json(changed).digest(), plain);
  changed = byte_level_json();
  changed["added_tokens"][0]["lstrip"] = true;
  EXPECT_NE(open_json(changed).digest(), plain);
}

struct Hostile {
  const char* pointer;
  json value;
  const char* message;
};

class HostileTokenizer : public testing::TestWithParam<Hostile> {};

TEST_P(HostileTokenizer, IsRefusedByName) {
  json content = byte_level_json();
  content[json::json_pointer(GetParam().pointer)] = GetParam().value;
  const std::string message = thrown_by<FormatError>([&] { open_json(content); });
  EXPECT_TRUE(holds(message, GetParam().message));
  EXPECT_TRUE(holds(message, "tokenizer.json"));
  EXPECT_TRUE(test::is_one_plain_line(message));
}

INSTANTIATE_TEST_SUITE_P(
    Files, HostileTokenizer,
    testing::Values(
        Hostile{"/model", nullptr, "no 'model'"}, Hostile{"/model/vocab", nullptr, "no 'vocab'"},
        Hostile{"/model/vocab/ab", -1, "has the id -1"},
        Hostile{"/model/vocab/ab", 1.5, "has the id 1.5"},
        Hostile{"/model/vocab/ab", 2147483648u, "below 2147483648"},
        Hostile{"/model/vocab/ab", 257, "both have the id 257"},
        Hostile{"/model/type", "Unigram", "model Unigram is not implemented"},
        Hostile{"/model/dropout", 0.1, "dropout"},
        Hostile{"/model/continuing_subword_prefix", "##", "continuing_subword_prefix"},
        Hostile{"/model/unk_token", "nowhere", "not in the vocabulary"},
        Hostile{"/model/merges/0", "a b c", "merge 0 is"},
        Hostile{"/model/merges/0", 7, "merge 0 is"},
        Hostile{"/model/merges/0", "a z", "needs 'az'"},
        Hostile{"/added_tokens/0/id", 300, "has the id 300"},
        Hostile{"/added_tokens/0/content", "", "without text"},
        Hostile{"/normalizer", {{"type", "Lowercase"}}, "normalizer Lowercase"},
        Hostile{"/normalizer",
                {{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", ""}},
                "an empty pattern"},
        Hostile{"/pre_tokenizer", {{"type", "Whitespace"}}, "pre-tokenizer Whitespace"},
        Hostile{"/pre_tokenizer",
                {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}},
                "not a regular expression"},
        Hostile{"/pre_tokenizer",
                {{"type", "Split"}, {"pattern", {{"Regex", "\\w+"}}}, {"behavior", "Isolated"}},
                "'\\w' in the pattern"},
        Hostile{"/pre_tokenizer",
                {{"type", "Split"}, {"pattern", {{"Regex", "a{1,3}+"}}}, {"behavior", "Isolated"}},
                "'{1,3}+' in the pattern"},
        Hostile{"/post_processor", {{"type", "BertProcessing"}}, "post-processor BertProcessing"},
        Hostile{"/decoder", {{"type", "WordPiece"}}, "decoder WordPiece"}));

TEST(Tokenizer, OlderFilesAreRefusedWithTheRemedy) {
  const TempDir dir;
  test::write_file(dir / "tokenizer.model", "x");
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { Tokenizer::open(dir.path().string()); }),
                    "AutoTokenizer.from_pretrained"));
}

}  // namespace
}  // namespace suture
