#include "stream/thread_team.h"

#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace suture::stream {
namespace {

TEST(ThreadTeam, GivesEachPartToAThreadOfItsOwn) {
  for (const unsigned size : {1u, 2u, 5u}) {
    ThreadTeam team(size);
    ASSERT_EQ(team.size(), size);
    std::vector<std::thread::id> ran(size);
    team.run([&](unsigned part) { ran[part] = std::this_thread::get_id(); });
    EXPECT_EQ(std::set<std::thread::id>(ran.begin(), ran.end()).size(), size);
    EXPECT_EQ(ran[0], std::this_thread::get_id());
  }
}

TEST(ThreadTeam, HasDoneAllPartsWhenRunReturns) {
  ThreadTeam team(3);
  std::vector<int> counts(3, 0);
  for (int round = 1; round <= 20'000; ++round) {
    team.run([&](unsigned part) { ++counts[part]; });
    ASSERT_EQ(counts, std::vector<int>(3, round));
  }
}

TEST(ThreadTeam, WakesAThreadThatSleeps) {
  ThreadTeam team(2);
  int done = 0;
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    team.run([&](unsigned part) {
      if (part == 1) ++done;
    });
  }
  EXPECT_EQ(done, 3);
}

TEST(ThreadTeam, WaitsForAPartThatTakesLong) {
  ThreadTeam team(2);
  bool done = false;
  team.run([&](unsigned part) {
    if (part == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    done = true;
  });
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace suture::stream
