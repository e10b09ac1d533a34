#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "suture/live_weights.h"

#include "core/batch_gate.h"
#include "surgery/form.h"
#include "surgery/original_weights.h"
#include "surgery/place_writer.h"
#include "surgery/weight_claim.h"
#include "surgery/weight_places.h"

namespace suture {

/// One edit and what follows from it. Immutable once it is in a list.
struct AppliedEdit {
  std::uint64_t id = 0;
  TaskVector vector{};  ///< As it was given.
  double scale = 1;
  bool enabled = true;
  Selection mask{};
  std::optional<LayerScales> layers{};

  TaskVector effective{};             ///< With scale, mask and layers.
  std::vector<std::size_t> covers{};  ///< Places of the whole vector, whatever the mask.
  std::vector<std::pair<std::size_t, std::vector<ActiveTerm>>> reaches{};  ///< Of `effective`.
};

/// Edits in the order in which they were applied.
struct LiveEdits {
  std::vector<std::shared_ptr<const AppliedEdit>> list;

  const AppliedEdit* find(std::uint64_t id) const;

  /// Throws UsageError when there is none of that id.
  const AppliedEdit& at(std::uint64_t id) const;
};

/// What `LiveWeights` and its parts share. Members are safe from any thread, but for those on a
/// LiveEdits, which work on the caller's own list.
class LiveState {
 public:
  LiveState(const StateDict& weights, LiveOptions options);
  ~LiveState();

  /// Puts an edit behind the others. Throws what `LiveWeights::apply` does.
  std::uint64_t add(LiveEdits& edits, const TaskVector& vector, double scale);

  /// Puts an edit that `revise` has changed in place of what it was. Throws UsageError when there
  /// is none of that id.
  void revise(LiveEdits& edits, std::uint64_t id,
              const std::function<void(AppliedEdit&)>& revise) const;
  void remove(LiveEdits& edits, std::uint64_t id) const;

  /// Makes the weights what `requests` makes of the edits. Throws what `LiveWeights::change` does.
  void change(const std::function<void(LiveEdits&)>& requests);

  /// Removes an edit without a word: now, or else with the next change or when a batch ends.
  void end(std::uint64_t id) noexcept;

  /// The same of one whose object now stands for another; where that is asked within a change which
  /// fails, the object stands for the first again.
  void end_replaced(std::uint64_t id, std::uint64_t by) noexcept;

  /// A copy of the present edits.
  LiveEdits edits() const;

  /// Begins a batch and returns the version that it sees.
  std::uint64_t enter();
  void leave(std::thread::id entered_by);

  std::uint64_t version() const { return version_; }
  std::uint64_t kept_bytes() const { return originals_.kept_bytes(); }
  std::string failure() const;

 private:
  using Terms = std::vector<std::vector<ActiveTerm>>;  // by place

  void refresh(AppliedEdit& edit) const;
  void require_writable(const std::string& name, std::size_t place,
                        const std::vector<ActiveTerm>& terms) const;
  Terms plan(const LiveEdits& edits) const;
  std::vector<PlaceWrite> differing(const Terms& next) const;
  void require_possible(const std::vector<PlaceWrite>& writes, const Terms& next) const;
  void change(const std::function<void(LiveEdits&)>& requests, const RunOptions& run);
  std::vector<std::size_t> hold_originals(const std::vector<PlaceWrite>& writes,
                                          const RunOptions& run);
  void commit(LiveEdits next, const RunOptions& run);
  void take_back(const std::vector<PlaceWrite>& writes, const std::string& reason);
  void switch_all_off(const std::vector<PlaceWrite>& writes, const std::string& reason);
  void mark(const std::vector<PlaceWrite>& writes, bool known);
  void publish(LiveEdits edits, Terms terms);
  void release_unneeded();
  void remove_ended(LiveEdits& edits) const;
  void forget_ended();
  void give_back_replaced(const std::string& reason);
  void end_waiting() noexcept;
  RunOptions uncancelled() const;
  void fail(const std::string& reason);

  const LiveOptions options_;
  const StateDict weights_;  // shares memory with the caller's
  const WeightPlaces places_;
  OriginalWeights originals_;

  BatchGate changes_;  // one change after another, in their order; entered by none
  BatchGate batches_;  // a change's writing against batches

  // Written by the thread that has `changes_`, within `facts_`.
  mutable std::mutex facts_;
  LiveEdits edits_;
  Terms terms_;                    // what each place holds now
  std::vector<bool> known_;        // of each place: whether it holds that
  std::atomic<bool> whole_{true};  // all are known
  std::atomic<std::uint64_t> version_{0}, last_id_{0};
  std::vector<std::uint64_t> ended_;  // edits whose objects are gone, still in `edits_`
  std::vector<std::pair<std::uint64_t, std::uint64_t>> replaced_;  // by which, in this change
  std::string failure_;
  std::atomic<bool> waits_for_batch_{false};  // an edit that could not end within a batch
  WeightClaim claim_;                         // on all memory that edits have changed
};

}  // namespace suture
