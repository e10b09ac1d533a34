#include "surgery/vocabulary_map.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace suture {
namespace {

TokenizerContent tokenizer(const std::vector<std::string>& tokens) {
  TokenizerContent content;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    content.ids[tokens[i]] = static_cast<std::int64_t>(i);
  return content;
}

std::string text_of(const std::vector<RowRun>& runs) {
  std::string text;
  for (const RowRun& run : runs) {
    text += std::to_string(run.first) + "+" + std::to_string(run.count) + ":";
    for (const std::int64_t shift : run.shifts) text += " " + std::to_string(shift);
    text += "; ";
  }
  return text;
}

TEST(MatchRows, TheSameVocabularyIsOneRun) {
  const auto t = tokenizer({"a", "b", "c"});
  EXPECT_EQ(text_of(match_rows(t, 3, {{&t, 3}, {&t, 3}})), "0+3: 0 0; ");
  EXPECT_EQ(count_rows(match_rows(t, 3, {{&t, 3}})), 3u);
}

TEST(MatchRows, FollowsTokensThatMoved) {
  const auto mine = tokenizer({"a", "b", "c", "d"}), theirs = tokenizer({"c", "d", "a", "b"});
  EXPECT_EQ(text_of(match_rows(mine, 4, {{&theirs, 4}})), "0+2: 2; 2+2: -2; ");
}

TEST(MatchRows, LeavesTokensOutThatADonorDoesNotKnow) {
  const auto mine = tokenizer({"a", "own", "c"}), all = tokenizer({"a", "own", "c"}),
             some = tokenizer({"a", "c"});
  EXPECT_EQ(text_of(match_rows(mine, 3, {{&all, 3}, {&some, 2}})), "0+1: 0 0; 2+1: 0 -1; ");
}

TEST(MatchRows, LeavesPaddingRowsOut) {
  const auto mine = tokenizer({"a", "b"});
  EXPECT_EQ(text_of(match_rows(mine, 100, {{&mine, 100}})), "0+2: 0; ");
}

TEST(MatchRows, KeepsWithinTheRowsThatAreThere) {
  const auto mine = tokenizer({"a", "b", "c"});
  EXPECT_EQ(text_of(match_rows(mine, 2, {{&mine, 3}})), "0+2: 0; ");
  EXPECT_EQ(text_of(match_rows(mine, 3, {{&mine, 1}})), "0+1: 0; ");
}

TEST(MatchRows, OfNothingInCommonIsNothing) {
  const auto mine = tokenizer({"a"}), theirs = tokenizer({"b"});
  EXPECT_TRUE(match_rows(mine, 1, {{&theirs, 1}}).empty());
  EXPECT_EQ(count_rows({}), 0u);
}

// Two texts on one row: the first that all donors know, in the order of the texts.
TEST(MatchRows, TakesOneTextOfARow) {
  TokenizerContent mine;
  mine.ids = {{"a", 0}, {"b", 0}, {"c", 1}};
  const auto theirs = tokenizer({"c", "b", "a"});
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(text_of(match_rows(mine, 2, {{&theirs, 3}})), "0+1: 2; 1+1: -1; ");
  const auto without = tokenizer({"x", "b"});
  EXPECT_EQ(text_of(match_rows(mine, 2, {{&without, 2}})), "0+1: 1; ");
}

TEST(MatchRows, EqualsTokenByTokenLookUp) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    const auto shuffled = [&] {
      std::vector<std::string> tokens;
      for (int i = 0; i < 30; ++i)
        if (random() % 4 != 0) tokens.push_back("t" + std::to_string(i));
      for (int swaps = 0; swaps < 3; ++swaps)
        std::swap(tokens[random() % tokens.size()], tokens[random() % tokens.size()]);
      return tokens;
    };
    const auto mine = tokenizer(shuffled()), a = tokenizer(shuffled()), b = tokenizer(shuffled());
    const auto runs = match_rows(mine, 30, {{&a, 30}, {&b, 30}});
    std::map<std::int64_t, std::vector<std::int64_t>> found, expected;
    std::int64_t end = -1;
    for (const RowRun& run : runs) {
      EXPECT_GE(run.first, end);
      end = run.first + run.count;
      for (std::int64_t i = 0; i < run.count; ++i) found[run.first + i] = run.shifts;
    }
    for (const auto& [token, row] : mine.ids) {
      if (a.ids.count(token) && b.ids.count(token))
        expected[row] = {a.ids.at(token) - row, b.ids.at(token) - row};
    }
    EXPECT_EQ(found, expected);
    EXPECT_EQ(count_rows(runs), expected.size());
  }
}

}  // namespace
}  // namespace suture
