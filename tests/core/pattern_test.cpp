#include "core/pattern.h"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/thrown.h"

namespace suture {
namespace {

TEST(Pattern, IsFoundAnywhereUnlessAnchored) {
  EXPECT_TRUE(Pattern("q_proj").found_in("model.layers.0.self_attn.q_proj.weight"));
  EXPECT_FALSE(Pattern("^q_proj").found_in("model.layers.0.self_attn.q_proj.weight"));
  EXPECT_TRUE(Pattern("\\.(1[0-9]|2)\\.").found_in("layers.13.x"));
  EXPECT_FALSE(Pattern("a").found_in(""));
  EXPECT_TRUE(Pattern("").found_in("anything"));
}

TEST(Pattern, SaysWhereItIsBroken) {
  const std::string message = test::thrown_by<UsageError>([] { Pattern("ab(c"); });
  EXPECT_TRUE(test::holds(message, "'ab(c'"));
  EXPECT_TRUE(test::holds(message, "character 4"));
}

TEST(Pattern, TakesSubjectsOfAnyBytes) {
  EXPECT_TRUE(
      Pattern("b$").found_in(std::string_view("a\0\xFF\x1B"
                                              "b",
                                              5)));
}

TEST(Pattern, StopsAtABoundedEffort) {
  const std::string message = test::thrown_by<UsageError>(
      [] { (void)Pattern("^(a+)+$").found_in(std::string(40, 'a') + "!"); });
  EXPECT_TRUE(test::holds(message, "(a+)+$"));
  EXPECT_TRUE(test::is_one_plain_line(message));
}

TEST(Pattern, EffortThatSufficesForOrdinaryNames) {
  EXPECT_FALSE(Pattern("(q|k|v|o)_proj.*(weight|bias)x$")
                   .found_in("model.layers.0.self_attn.q_proj.weight"));
}

TEST(Pattern, MayBeSharedByThreads) {
  const Pattern pattern("layers\\.[0-9]+\\.mlp");
  std::vector<int> found(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < found.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1000; ++i)
        found[t] += pattern.found_in("layers." + std::to_string(i) + ".mlp");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(found, std::vector<int>(4, 1000));
}

}  // namespace
}  // namespace suture
