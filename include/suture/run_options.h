#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace suture {

/// How far a streaming pass has come.
struct Progress {
  const char* stage = "";         ///< `reading`, `writing`, ...: what the pass does.
  std::uint64_t bytes_done = 0;   ///< Bytes read and written so far.
  std::uint64_t bytes_total = 0;  ///< Bytes that will be read and written in all.
  const char* unit = "";          ///< What is counted instead, such as `requests`; empty: bytes.
};

/// How a streaming pass runs. Results never depend on any of it.
struct RunOptions {
  /// Worker threads; 0 takes one per core that this process may use.
  unsigned threads = 0;

  /// Upper bound of the buffers of a pass, in bytes. One small tile per thread is always allowed.
  std::uint64_t memory_budget_bytes = std::uint64_t{512} << 20;

  /// Called now and then, and once at the end, from worker threads but never by two at once.
  std::function<void(const Progress&)> on_progress;

  /// What the user should know of a run that goes on all the same, one sentence a call.
  std::function<void(const std::string&)> on_note;

  /// When it becomes true the pass stops, removes what it had begun to write, and throws
  /// Interrupted.
  const std::atomic<bool>* cancel = nullptr;
};

}  // namespace suture
