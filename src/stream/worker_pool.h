#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>

#include "suture/run_options.h"

namespace suture::stream {

/// Threads that `options` asks for: its own number, or one per core this process may use.
unsigned thread_count(const RunOptions& options);

/// Runs jobs 0 to `count - 1` on the threads that `options` asks for. Each thread calls
/// `make_worker` once, for a worker with buffers of its own, and gives it jobs in increasing order.
/// Returns when all threads have ended; throws the first error of a worker, or Interrupted.
using Worker = std::function<void(std::size_t job)>;
void run_jobs(std::size_t count, const RunOptions& options,
              const std::function<Worker()>& make_worker);

/// Throws Interrupted when the caller wants the run to stop.
void check_cancelled(const RunOptions& options);

/// Counts bytes from several threads and tells the caller, a few times a second at most.
class ProgressMeter {
 public:
  ProgressMeter(const RunOptions& options, const char* stage, std::uint64_t bytes_total);
  void add(std::uint64_t bytes);
  void finish();

 private:
  void report(std::uint64_t bytes_done);

  const RunOptions& options_;
  const char* stage_;
  std::uint64_t bytes_total_;
  std::atomic<std::uint64_t> bytes_done_{0};
  std::mutex reporting_;
  std::chrono::steady_clock::time_point next_report_;
};

}  // namespace suture::stream
