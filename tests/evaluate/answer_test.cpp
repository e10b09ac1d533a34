#include "evaluate/answer.h"

#include <gtest/gtest.h>

#include "suture/error.h"

#include "evaluate/python_text.h"
#include "evaluate/sha256.h"

namespace suture::evaluation {
namespace {

std::string extract(const std::string& regex, std::int64_t select, const std::string& text) {
  AnswerFilter filter;
  filter.regex = regex;
  filter.group_select = select;
  return AnswerExtractor(filter).extract(text);
}

TEST(Answer, FirstAndLastMatch) {
  const std::string text = "3 apples and 14 pears\n#### 17 ";
  EXPECT_EQ(extract(R"(#### (\-?[0-9\.\,]+))", 0, text), "17");
  EXPECT_EQ(extract(R"((-?[$0-9.,]{2,})|(-?[0-9]+))", -1, text), "17");
  EXPECT_EQ(extract(R"((-?[$0-9.,]{2,})|(-?[0-9]+))", 0, text), "3");
  EXPECT_EQ(extract(R"((?<=answer is )(.*)(?=.))", 0, "the answer is (B)."), "(B)");
}

TEST(Answer, WhatDoesNotMatchFallsBack) {
  EXPECT_EQ(extract("#### ([0-9]+)", 0, "none"), "[invalid]");
  EXPECT_EQ(extract("[0-9]", 3, "1 2"), "[invalid]");
  EXPECT_EQ(extract("(x)?(y)?z", 0, "z"), "[invalid]") << "all of several groups are empty";
  EXPECT_EQ(extract("(x)?z", 0, "z"), "") << "one empty group is an answer";
}

TEST(Answer, EmptyMatchesAreFoundAsPythonFindsThem) {
  // re.findall("a*", "baac") == ["", "aa", "", ""]
  const std::vector<PatternMatch> matches = Pattern("a*", PatternText::kUnicode).find_all("baac");
  ASSERT_EQ(matches.size(), 4U);
  EXPECT_EQ(matches[1].text, "aa");
  EXPECT_EQ(matches[3].text, "");
}

TEST(Answer, HostilePatternsEnd) {
  const std::string text(5000, 'a');
  EXPECT_THROW(extract("(a+)+$", 0, text + "b"), UsageError);
}

TEST(Answer, StopsCutOneAfterTheOther) {
  EXPECT_EQ(cut_at_stops("one\n\nQ: two", {"Q", "\n\n"}), "one");
  // "ab" cuts first, after which "ca" is no longer there.
  EXPECT_EQ(cut_at_stops("xcab", {"ab", "ca"}), "xc");
  EXPECT_EQ(cut_at_stops("xcab", {"ca", "ab"}), "x");
  EXPECT_EQ(cut_at_stops("x", {""}), "x");
}

TEST(Answer, ComparisonIgnoresWhatItIsToldTo) {
  AnswerComparison comparison;
  EXPECT_FALSE(AnswerComparer(comparison).equal("Yes.", "yes"));
  comparison.ignore_case = true;
  comparison.ignore_punctuation = true;
  EXPECT_TRUE(AnswerComparer(comparison).equal("Yes.", "yes"));
  comparison = {};
  comparison.regexes_to_ignore = {",", R"(\$)", "(?s).*#### ", R"(\.$)"};
  EXPECT_TRUE(AnswerComparer(comparison).equal("$1,200.", "steps\n#### 1200"));
}

TEST(PythonText, LengthsSpacesAndWords) {
  EXPECT_EQ(code_points("naïve"), 5U);
  EXPECT_EQ(right_stripped("a \t\u00a0\u3000"), "a");
  EXPECT_EQ(stripped(" \n a b "), "a b");
  EXPECT_EQ(count_words("a  b\nc"), 3U);
  EXPECT_EQ(count_words(" a "), 3U) << "as re.split counts";
  EXPECT_EQ(lower("ÄB"), "äb");
}

TEST(PythonText, FloatsAsPythonWritesThem) {
  EXPECT_EQ(float_text(-3), "-3.0");
  EXPECT_EQ(float_text(0.1), "0.1");
  EXPECT_EQ(float_text(1e-5), "1e-05");
  EXPECT_EQ(float_text(1e16), "1e+16");
}

TEST(Sha256, KnownTexts) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

}  // namespace
}  // namespace suture::evaluation
