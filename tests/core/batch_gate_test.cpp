#include "core/batch_gate.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

namespace suture {
namespace {

// A thread that is stopped at a gate when the test goes on. That it is there cannot be seen from
// outside, so the test waits a moment: too short a wait lets it pass, it never fails for that.
void let_it_arrive() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }

void leave(BatchGate& gate) { gate.leave(std::this_thread::get_id()); }

TEST(BatchGate, LetsBatchesRunBesideEachOther) {
  BatchGate gate;
  gate.enter();
  std::thread other([&] {
    gate.enter();
    leave(gate);
  });
  other.join();  // would not end if batches excluded each other
  leave(gate);
}

TEST(BatchGate, KeepsAChangeFromABatchAndABatchFromAChange) {
  BatchGate gate;
  std::atomic<int> value{0};
  gate.enter();
  std::thread changer([&] {
    gate.lock();
    value = 1;
    let_it_arrive();
    value = 2;
    gate.unlock();
  });
  let_it_arrive();
  EXPECT_EQ(value, 0);
  std::thread later([&] {
    gate.enter();
    EXPECT_EQ(value, 2);  // came behind the change
    leave(gate);
  });
  let_it_arrive();
  EXPECT_EQ(value, 0);
  leave(gate);
  changer.join();
  later.join();
}

// With batches that overlap without a pause, a change that had to wait for a moment without any
// would wait for ever.
TEST(BatchGate, LetsAChangeThroughBetweenBatchesWithoutAPause) {
  BatchGate gate;
  std::atomic<bool> ends{false};
  std::vector<std::thread> servers;
  for (int i = 0; i < 3; ++i) {
    servers.emplace_back([&] {
      while (!ends) {
        gate.enter();
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        leave(gate);
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    gate.lock();
    gate.unlock();
  }
  ends = true;
  for (std::thread& server : servers) server.join();
}

// And changes without a pause let batches through.
TEST(BatchGate, LetsABatchThroughBetweenChangesWithoutAPause) {
  BatchGate gate;
  std::atomic<bool> ends{false};
  std::vector<std::thread> changers;
  for (int i = 0; i < 3; ++i) {
    changers.emplace_back([&] {
      while (!ends) {
        gate.lock();
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        gate.unlock();
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    gate.enter();
    leave(gate);
  }
  ends = true;
  for (std::thread& changer : changers) changer.join();
}

TEST(BatchGate, ABatchWithinABatchDoesNotWaitForAWaitingChange) {
  BatchGate gate;
  gate.enter();
  std::thread changer([&] {
    gate.lock();
    gate.unlock();
  });
  let_it_arrive();
  gate.enter();  // behind the change it would wait for ever
  EXPECT_TRUE(gate.is_entered_here());
  leave(gate);
  EXPECT_TRUE(gate.is_entered_here());
  leave(gate);
  EXPECT_FALSE(gate.is_entered_here());
  changer.join();
}

TEST(BatchGate, RefusesToWaitForItself) {
  BatchGate gate;
  gate.enter();
  EXPECT_THROW(gate.lock(), UsageError);
  leave(gate);
  gate.lock();
  EXPECT_TRUE(gate.is_locked_here());
  EXPECT_THROW(gate.lock(), UsageError);
  EXPECT_THROW(gate.enter(), UsageError);
  gate.unlock();
  EXPECT_FALSE(gate.is_locked_here());
  gate.enter();
  leave(gate);
}

TEST(BatchGate, ABatchMayEndOnAnotherThread) {
  BatchGate gate;
  const std::thread::id here = std::this_thread::get_id();
  gate.enter();
  std::thread([&] { gate.leave(here); }).join();
  gate.lock();
  gate.unlock();
}

// Each thread's view of two numbers that a change makes unequal for a while.
TEST(BatchGate, NeverShowsAHalfMadeChange) {
  BatchGate gate;
  int first = 0, second = 0;  // no atomics: a gate that leaks is a race
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 2000; ++round) {
        gate.lock();
        ++first;
        ++second;
        gate.unlock();
      }
    });
    threads.emplace_back([&] {
      for (int round = 0; round < 2000; ++round) {
        gate.enter();
        EXPECT_EQ(first, second);
        leave(gate);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(first, 4000);
}

}  // namespace
}  // namespace suture
