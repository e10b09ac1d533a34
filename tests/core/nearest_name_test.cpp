#include "core/nearest_name.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/thrown.h"

namespace suture {
namespace {

TEST(DidYouMean, NamesTheNearestFirst) {
  EXPECT_EQ(did_you_mean("q_porj", {"down_proj", "q_proj", "k_proj"}),
            "did you mean 'q_proj' or 'k_proj'?");
}

TEST(DidYouMean, SaysNothingWhereNothingComesNear) {
  EXPECT_EQ(did_you_mean("embedding", {"q_proj", "norm"}), "");
  EXPECT_EQ(did_you_mean("anything", {}), "");
  EXPECT_EQ(did_you_mean("", {"q_proj"}), "");
}

TEST(DidYouMean, NamesEachOnceAndAtMostThree) {
  EXPECT_EQ(did_you_mean("ab", {"ac", "ac", "ad", "ae", "af"}),
            "did you mean 'ac' or 'ad' or 'ae'?");
}

TEST(DidYouMean, CountsInsertionsDeletionsAndSubstitutions) {
  EXPECT_NE(did_you_mean("kproj", {"k_proj"}), "");
  EXPECT_NE(did_you_mean("kk_proj", {"k_proj"}), "");
  EXPECT_NE(did_you_mean("x_proj", {"k_proj"}), "");
}

TEST(DidYouMean, HostileNamesArePrintable) {
  const std::string line = did_you_mean("name", {"na\x1b[me"});
  EXPECT_NE(line, "");
  EXPECT_TRUE(test::is_one_plain_line(line));
}

TEST(DidYouMean, DoesNotCompareVeryLongNames) {
  const std::string bomb(1 << 20, 'a');
  EXPECT_EQ(did_you_mean(bomb, std::vector<std::string>(1000, bomb)), "");
}

}  // namespace
}  // namespace suture
