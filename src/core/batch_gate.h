#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace suture {

/// Lets batches run beside each other and a change alone, in the order in which they came: a change
/// waits for the batches before it, batches that come after it wait for the change. So neither
/// keeps the other waiting for ever. Cost where nobody waits: a mutex. Safe
/// from all threads.
class BatchGate {
 public:
  /// Begins a batch of this thread. A batch within a batch of the same thread goes in at once,
  /// since a change that waits between the two would never come to its turn. Throws UsageError
  /// within a change of the same thread.
  void enter();

  /// Ends a batch that thread `entered_by` has begun.
  void leave(std::thread::id entered_by);

  /// Begins a change. Throws UsageError within a batch or a change of the same thread: it would
  /// wait for itself.
  void lock();

  /// Ends the change.
  void unlock();

  /// True when this thread has begun a change, or a batch, and not ended it.
  bool is_locked_here() const;
  bool is_entered_here() const;

 private:
  bool runs_here() const;
  bool is_changing_here() const { return changer_ == std::this_thread::get_id(); }

  mutable std::mutex mutex_;
  std::condition_variable turn_;
  std::uint64_t next_ticket_ = 0, now_serving_ = 0;
  std::vector<std::thread::id> running_;  // who began each running batch
  std::thread::id changer_;               // nobody: no change is in progress
};

}  // namespace suture
