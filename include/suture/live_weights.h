#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "suture/checkpoint.h"
#include "suture/run_options.h"
#include "suture/selection.h"
#include "suture/state_dict.h"
#include "suture/task_vector.h"

namespace suture {

class LiveChange;
class LiveState;
struct LiveEdits;

/// How weights are edited while they live.
struct LiveOptions {
  /// Where the weights' own bytes are read again when an edit changes or ends. Without it they are
  /// kept: a copy, on the weight's device, of every tensor that an applied edit's vector has, made
  /// when an edit first changes the tensor and freed with the last edit whose vector has it. With
  /// it nothing is kept and a change also costs reading the tensors it writes; memory: a tile per
  /// thread, or one tensor for weights that are strided or on a GPU. Its files must not change.
  std::optional<Checkpoint> originals;

  /// Threads, memory and cancellation of every change. A change that is cancelled is undone.
  RunOptions run;
};

/// A vector in live weights for as long as this object lives; the end of the object takes it off.
/// Movable, so that it can be kept in a container; an empty one stands for no edit. Members may be
/// called from any thread, but on one object by one thread at a time.
///
/// Each member that changes weights is one change of the `LiveWeights`, and throws as
/// `LiveWeights::apply` does, with weights and edit as they were. All but `applied` throw
/// UsageError on an edit that is empty or has been undone.
class LiveEdit {
 public:
  LiveEdit() = default;
  LiveEdit(LiveEdit&& other) noexcept;
  /// Ends the edit that was here, as the destructor does. Within a change that fails it does not:
  /// this object then stands for that edit again.
  LiveEdit& operator=(LiveEdit&& other) noexcept;

  /// Takes the vector off; `LiveOptions::run` does not cancel that. Where it fails, as `undo` would
  /// by throwing (in a batch of the same thread, for one), the next change or end of a batch tries
  /// again, and `LiveWeights::failure` says so until then.
  ~LiveEdit();

  /// Puts another scale in place of the present one.
  void rescale(double scale);

  /// Switches the edit off, or on again in its old place in the order.
  void enable(bool on = true);

  /// Leaves only the selected tensors to the vector, in place of any mask before; `all` ends it.
  void mask(const Selection& selection);
  /// The same by the text form. Throws what `Selection::parse` throws.
  void mask(std::string_view selection) { mask(Selection::parse(selection)); }

  /// Multiplies layer i by `coefficients[i]` and tensors outside the layers by `outside_layers`, in
  /// place of coefficients before; none at all end it. Throws UsageError when the vector has layers
  /// beyond them.
  void scale_layers(std::vector<double> coefficients, double outside_layers = 1);

  /// Takes the vector off. Edits may be undone in any order.
  void undo();

  /// True until it is undone, here or in a LiveChange.
  bool applied() const;

  /// The present scale, also of an edit that is switched off.
  double scale() const;
  /// Whether it is switched on.
  bool enabled() const;

  /// What the edit adds to the weights when it is on: scale, mask and coefficients included.
  TaskVector vector() const;

 private:
  friend class LiveChange;
  friend class LiveWeights;
  LiveEdit(std::shared_ptr<LiveState> state, std::uint64_t id)
      : state_(std::move(state)), id_(id) {}
  void end() noexcept;
  LiveState& state() const;
  void change(const std::function<void(LiveChange&)>& requests);

  std::shared_ptr<LiveState> state_;
  std::uint64_t id_ = 0;
};

/// Several requests that become one change: batches see all of them or none, and every tensor is
/// written once. Lives within `LiveWeights::change` alone.
class LiveChange {
 public:
  /// As `LiveWeights::apply`; the edit begins with the change, and none is left where that fails.
  LiveEdit apply(const TaskVector& vector, double scale = 1);
  /// As `LiveEdit::rescale`, of an edit of the same weights; so the others.
  void rescale(const LiveEdit& edit, double scale);
  /// As `LiveEdit::enable`.
  void enable(const LiveEdit& edit, bool on = true);
  /// As `LiveEdit::mask`.
  void mask(const LiveEdit& edit, const Selection& selection);
  /// The same by the text form. Throws what `Selection::parse` throws.
  void mask(const LiveEdit& edit, std::string_view selection) {
    mask(edit, Selection::parse(selection));
  }
  /// As `LiveEdit::scale_layers`.
  void scale_layers(const LiveEdit& edit, std::vector<double> coefficients,
                    double outside_layers = 1);
  /// As `LiveEdit::undo`.
  void undo(const LiveEdit& edit);

  LiveChange(const LiveChange&) = delete;
  LiveChange& operator=(const LiveChange&) = delete;

 private:
  friend class LiveEdit;
  friend class LiveWeights;
  LiveChange(std::shared_ptr<LiveState> state, LiveEdits& edits)
      : state_(std::move(state)), edits_(edits) {}
  std::uint64_t id_of(const LiveEdit& edit) const;

  std::shared_ptr<LiveState> state_;
  LiveEdits& edits_;
};

/// Weights that hold still while this object lives: a change waits for its end. Batches run beside
/// each other; to begin and to end one takes a lock for a moment. One that comes while a change is
/// waiting waits behind it, unless its thread has a batch already. It belongs to the thread that
/// began it.
class LiveBatch {
 public:
  ~LiveBatch();
  LiveBatch(const LiveBatch&) = delete;
  LiveBatch& operator=(const LiveBatch&) = delete;

  /// Which state the weights are in: 0 at first, one more with every change.
  std::uint64_t version() const { return version_; }

 private:
  friend class LiveWeights;
  explicit LiveBatch(std::shared_ptr<LiveState> state);

  std::shared_ptr<LiveState> state_;
  std::uint64_t version_;
  std::thread::id thread_;
};

/// The weights of a running model, and the vectors that are in them now. At any time outside a
/// change each tensor holds `round(original + sum of the enabled edits, in the order they were
/// applied)`, computed from the original and rounded once: the bytes that `TaskVector::apply_to`
/// gives for the original and `vector()`, and `inject` (see there for where it copies). A tensor
/// that no edit reaches holds its own bytes, -0 and NaN payloads too. So it does not matter in
/// which order edits are undone, and nothing drifts.
///
/// A change writes only the tensors that it makes otherwise, once each, in place, on the device
/// where they live. Cost: reading original and operands and writing the result, at about the speed
/// of memory when all are there. Tensors that share memory (a tied head) are changed once, each
/// term of a sum by the first of their names that it reaches. A weight's autograd version grows
/// with each change.
///
/// Safe from any thread: changes come one after another and wait for the batches that run
/// (`batch`), while later batches wait for the change. On a GPU a change also waits for what is
/// queued on the device, before and after. A thread that changes weights within a batch or a change
/// of its own gets a UsageError, since it would wait for itself.
///
/// Whatever else writes to the weights, moves them or replaces their memory must not do so while an
/// edit is applied; UsageError where a second LiveWeights has an edit in a weight. Copies of this
/// object speak of the same weights; edits and batches may outlive it.
class LiveWeights {
 public:
  /// Shares the tensors' memory.
  explicit LiveWeights(const StateDict& weights, LiveOptions options = {});
  /// The parameters and buffers of a module, by name.
  explicit LiveWeights(const torch::nn::Module& module, LiveOptions options = {});

  /// A frozen TorchScript module has no parameters left to edit.
  explicit LiveWeights(const torch::jit::Module& module, LiveOptions options = {});

  /// Adds `scale * vector` to the weights until the edit ends. Throws, with the weights as they
  /// were: CompatibilityError when the vector has a tensor that the weights lack, of another shape
  /// or of a dtype that is not computed with, or when `LiveOptions::originals` does not hold a
  /// weight's bytes; UsageError when the vector reads memory of these weights, when two tensors
  /// would change that share a part of their memory, or when a weight has moved to other memory;
  /// IoError when a file was changed or cannot be read; Interrupted.
  ///
  /// A read that fails while tensors are being written is undone in the same way. Only where that
  /// fails as well are all edits switched off, so that the weights hold their own bytes; and where
  /// these cannot be read either, `batch` throws until a change has succeeded. The error says so.
  [[nodiscard]] LiveEdit apply(const TaskVector& vector, double scale = 1);

  /// Makes what `requests` asks for in one change, when it returns; when it throws, nothing. It
  /// must ask through the LiveChange: changes of its own get a UsageError.
  void change(const std::function<void(LiveChange&)>& requests);

  /// Holds the weights still while it lives. Throws IoError while a failed change has left them in
  /// no whole state.
  [[nodiscard]] LiveBatch batch() const;

  /// The number of changes so far.
  std::uint64_t version() const;

  /// The sum of the enabled edits, in the order they were applied.
  TaskVector vector() const;

  /// Bytes of originals that are kept now.
  std::uint64_t kept_bytes() const;

  /// Why the last end of an edit could not take its vector off, or a failed change not be undone;
  /// empty when nothing is left to be done. The next change that succeeds empties it.
  std::string failure() const;

 private:
  std::shared_ptr<LiveState> state_;
};

}  // namespace suture
