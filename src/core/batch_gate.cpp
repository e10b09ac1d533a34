#include "core/batch_gate.h"

#include <algorithm>

#include "suture/error.h"

namespace suture {

void BatchGate::enter() {
  std::unique_lock lock(mutex_);
  if (is_changing_here())
    throw UsageError(
        {{}, {}, "a batch begins within a change of the same thread", {}, "end it first"});
  if (!runs_here()) {
    const std::uint64_t ticket = next_ticket_++;
    turn_.wait(lock, [&] { return ticket == now_serving_ && changer_ == std::thread::id(); });
    ++now_serving_;
  }
  running_.push_back(std::this_thread::get_id());
  turn_.notify_all();
}

void BatchGate::leave(std::thread::id entered_by) {
  const std::lock_guard lock(mutex_);
  const auto at = std::find(running_.begin(), running_.end(), entered_by);
  if (at != running_.end()) running_.erase(at);
  if (running_.empty()) turn_.notify_all();
}

void BatchGate::lock() {
  std::unique_lock lock(mutex_);
  if (runs_here())
    throw UsageError(
        {{}, {}, "a change within a batch of the same thread", {}, "end the batch first"});
  if (is_changing_here())
    throw UsageError(
        {{}, {}, "a change within a change of the same thread", {}, "make both in one"});
  const std::uint64_t ticket = next_ticket_++;
  turn_.wait(lock, [&] {
    return ticket == now_serving_ && running_.empty() && changer_ == std::thread::id();
  });
  ++now_serving_;
  changer_ = std::this_thread::get_id();
}

void BatchGate::unlock() {
  const std::lock_guard lock(mutex_);
  changer_ = {};
  turn_.notify_all();
}

bool BatchGate::is_locked_here() const {
  const std::lock_guard lock(mutex_);
  return is_changing_here();
}

bool BatchGate::is_entered_here() const {
  const std::lock_guard lock(mutex_);
  return runs_here();
}

bool BatchGate::runs_here() const {
  return std::find(running_.begin(), running_.end(), std::this_thread::get_id()) != running_.end();
}

}  // namespace suture
