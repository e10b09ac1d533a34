#include "stream/worker_pool.h"

#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/thrown.h"

namespace suture::stream {
namespace {

class RunJobs : public testing::TestWithParam<unsigned> {
 protected:
  RunJobs() { options_.threads = GetParam(); }
  RunOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Threads, RunJobs, testing::Values(1, 2, 7));

TEST_P(RunJobs, DoesEveryJobOnce) {
  std::vector<std::atomic<int>> done(1000);
  run_jobs(done.size(), options_, [&] { return [&](std::size_t job) { ++done[job]; }; });
  for (const auto& count : done) EXPECT_EQ(count, 1);
}

TEST_P(RunJobs, MakesNoMoreWorkersThanThreadsOrJobs) {
  for (const std::size_t jobs : {std::size_t{1}, std::size_t{3}, std::size_t{100}}) {
    std::atomic<unsigned> workers = 0;
    run_jobs(jobs, options_, [&] {
      ++workers;
      return [](std::size_t) {};
    });
    EXPECT_GE(workers, 1u);
    EXPECT_LE(workers, std::min<std::size_t>(GetParam(), jobs));
  }
}

TEST_P(RunJobs, GivesEachWorkerJobsInIncreasingOrder) {
  std::atomic<bool> ordered = true;
  run_jobs(500, options_, [&] {
    return [&, last = std::size_t{0}, first = true](std::size_t job) mutable {
      if (!first && job <= last) ordered = false;
      first = false;
      last = job;
    };
  });
  EXPECT_TRUE(ordered);
}

TEST_P(RunJobs, ThrowsTheErrorOfAJobOnceAllThreadsHaveEnded) {
  std::atomic<int> running = 0;
  const auto run = [&] {
    run_jobs(1000, options_, [&] {
      return [&](std::size_t job) {
        ++running;
        --running;
        if (job == 10) throw UsageError({{}, {}, "job ten", {}, {}});
      };
    });
  };
  EXPECT_TRUE(test::holds(test::thrown_by<UsageError>(run), "job ten"));
  EXPECT_EQ(running, 0);
}

TEST_P(RunJobs, StopsGivingJobsAfterAnError) {
  std::atomic<int> done = 0;
  std::atomic<bool> thrown = false;
  const auto work = [&](std::size_t job) {
    if (job == 0) {
      thrown = true;
      throw std::runtime_error("no");
    }
    while (!thrown) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ++done;
  };
  EXPECT_THROW(run_jobs(1000, options_, [&] { return work; }), std::runtime_error);
  EXPECT_LT(done, 500);
}

TEST_P(RunJobs, ThrowsTheErrorOfMakingAWorker) {
  EXPECT_THROW(run_jobs(10, options_, []() -> Worker { throw std::bad_alloc(); }), std::bad_alloc);
}

TEST_P(RunJobs, StopsWhenCancelledInBetween) {
  std::atomic<bool> cancel = false;
  std::atomic<int> done = 0;
  RunOptions options = options_;
  options.cancel = &cancel;
  EXPECT_THROW(run_jobs(100'000, options,
                        [&] {
                          return [&](std::size_t) {
                            if (++done == 5) cancel = true;
                          };
                        }),
               Interrupted);
  EXPECT_LT(done, 5 + static_cast<int>(GetParam()) + 1);
}

TEST_P(RunJobs, DoesNothingWhenCancelledBefore) {
  const std::atomic<bool> cancel = true;
  RunOptions options = options_;
  options.cancel = &cancel;
  for (const std::size_t jobs : {std::size_t{0}, std::size_t{10}}) {
    EXPECT_THROW(run_jobs(jobs, options, []() -> Worker { throw std::logic_error("ran"); }),
                 Interrupted);
  }
}

TEST_P(RunJobs, WithoutJobsMakesNoWorker) {
  run_jobs(0, options_, []() -> Worker { throw std::logic_error("made"); });
}

TEST(ThreadCount, IsWhatWasAskedForOrAtLeastOne) {
  RunOptions options;
  EXPECT_GE(thread_count(options), 1u);
  EXPECT_LE(thread_count(options), std::max(1u, std::thread::hardware_concurrency()));
  options.threads = 5;
  EXPECT_EQ(thread_count(options), 5u);
}

TEST(ThreadCount, IsBounded) {
  RunOptions options;
  options.threads = 4'000'000'000;
  EXPECT_EQ(thread_count(options), 1024u);
}

TEST(ProgressMeter, EndsWithEverythingDone) {
  RunOptions options;
  std::vector<Progress> reports;
  options.on_progress = [&](const Progress& progress) { reports.push_back(progress); };
  ProgressMeter meter(options, "testing", 100);
  meter.add(30);
  meter.finish();
  ASSERT_FALSE(reports.empty());
  EXPECT_STREQ(reports.back().stage, "testing");
  EXPECT_EQ(reports.back().bytes_done, 100u);
  EXPECT_EQ(reports.back().bytes_total, 100u);
}

TEST(ProgressMeter, NeverCallsFromTwoThreadsAtOnce) {
  RunOptions options;
  std::atomic<int> inside = 0;
  std::atomic<bool> overlapped = false;
  options.on_progress = [&](const Progress&) {
    if (++inside > 1) overlapped = true;
    --inside;
  };
  ProgressMeter meter(options, "testing", 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) meter.finish();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(overlapped);
}

TEST(ProgressMeter, NeedsNoListener) {
  const RunOptions options;
  ProgressMeter meter(options, "testing", 10);
  meter.add(10);
  EXPECT_NO_THROW(meter.finish());
}

}  // namespace
}  // namespace suture::stream
