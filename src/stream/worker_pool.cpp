#include "stream/worker_pool.h"

#include <algorithm>
#include <exception>
#include <sched.h>
#include <system_error>
#include <thread>
#include <vector>

#include "suture/error.h"

namespace suture::stream {
namespace {

constexpr unsigned kMaxThreads = 1024;
constexpr auto kReportInterval = std::chrono::milliseconds(100);

// What the threads of one run share.
struct Run {
  std::size_t count;
  const RunOptions& options;
  const std::function<Worker()>& make_worker;
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex{};
  std::exception_ptr error{};

  void work() {
    try {
      const Worker worker = make_worker();
      for (std::size_t job; !failed && (job = next++) < count;) {
        check_cancelled(options);
        worker(job);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      failed = true;
    }
  }
};

// Starts up to `wanted` helpers; fewer, when the system has no more threads to give.
std::vector<std::thread> start_helpers(unsigned wanted, Run& run) {
  std::vector<std::thread> helpers;
  for (unsigned i = 0; i < wanted; ++i) {
    try {
      helpers.emplace_back([&run] { run.work(); });
    } catch (const std::system_error&) {
      break;
    }
  }
  return helpers;
}

}  // namespace

unsigned thread_count(const RunOptions& options) {
  if (options.threads > 0) return std::min(options.threads, kMaxThreads);
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    return static_cast<unsigned>(std::max(1, CPU_COUNT(&allowed)));
  }
  return std::max(1u, std::thread::hardware_concurrency());
}

void check_cancelled(const RunOptions& options) {
  if (options.cancel != nullptr && *options.cancel) throw Interrupted();
}

void run_jobs(std::size_t count, const RunOptions& options,
              const std::function<Worker()>& make_worker) {
  check_cancelled(options);
  if (count == 0) return;
  Run run{count, options, make_worker};
  const auto threads = std::min<std::size_t>(thread_count(options), count);
  std::vector<std::thread> helpers = start_helpers(static_cast<unsigned>(threads) - 1, run);
  run.work();
  for (std::thread& helper : helpers) helper.join();
  if (run.error) std::rethrow_exception(run.error);
}

ProgressMeter::ProgressMeter(const RunOptions& options, const char* stage,
                             std::uint64_t bytes_total)
    : options_(options),
      stage_(stage),
      bytes_total_(bytes_total),
      next_report_(std::chrono::steady_clock::now() + kReportInterval) {}

void ProgressMeter::add(std::uint64_t bytes) {
  const std::uint64_t done = bytes_done_ += bytes;
  if (!options_.on_progress) return;
  const std::unique_lock lock(reporting_, std::try_to_lock);
  if (!lock) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_report_) return;
  next_report_ = now + kReportInterval;
  report(done);
}

void ProgressMeter::finish() {
  const std::lock_guard lock(reporting_);
  report(bytes_total_);
}

void ProgressMeter::report(std::uint64_t bytes_done) {
  if (options_.on_progress) options_.on_progress({stage_, bytes_done, bytes_total_});
}

}  // namespace suture::stream
