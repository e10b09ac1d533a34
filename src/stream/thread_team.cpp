#include "stream/thread_team.h"

#include <system_error>

namespace suture::stream {
namespace {

constexpr int kLooksBeforeSleep = 4000;  // some tens of microseconds

// Returns when `value` is no longer `old`.
void await_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int look = 0; look < kLooksBeforeSleep; ++look) {
    if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadTeam::ThreadTeam(unsigned size) {
  try {
    for (unsigned part = 1; part < size; ++part)
      threads_.emplace_back([this, part] { serve(part); });
  } catch (const std::system_error&) {
    // Fewer, when the system has no more threads to give.
  }
}

ThreadTeam::~ThreadTeam() {
  work_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::run(const std::function<void(unsigned)>& work) {
  work_ = &work;
  busy_.store(static_cast<std::uint32_t>(threads_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  work(0);
  for (std::uint32_t busy = busy_.load(std::memory_order_acquire); busy != 0;
       busy = busy_.load(std::memory_order_acquire)) {
    await_change(busy_, busy);
  }
}

void ThreadTeam::serve(unsigned part) {
  for (std::uint32_t seen = 0;; ++seen) {
    await_change(round_, seen);
    if (work_ == nullptr) return;
    (*work_)(part);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace suture::stream
