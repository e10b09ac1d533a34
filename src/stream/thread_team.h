#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace suture::stream {

/// Threads that stay, for work that comes every few microseconds: between two pieces of it they
/// watch for the next one for a moment before they sleep. Not synchronised: one `run` at a time.
class ThreadTeam {
 public:
  /// `size` threads, the calling one included; at least 1. Fewer where the system has no more.
  explicit ThreadTeam(unsigned size);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  /// Calls `work(part)` once for each part from 0 to `size() - 1`, each on a thread of its own, and
  /// returns when all have. `work` must not throw.
  void run(const std::function<void(unsigned part)>& work);

  unsigned size() const { return static_cast<unsigned>(threads_.size()) + 1; }

 private:
  void serve(unsigned part);

  std::vector<std::thread> threads_;
  const std::function<void(unsigned)>* work_ = nullptr;  // null: the team ends
  std::atomic<std::uint32_t> round_{0};
  std::atomic<std::uint32_t> busy_{0};
};

}  // namespace suture::stream
