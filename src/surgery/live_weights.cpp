#include "suture/live_weights.h"

#include <utility>

#include "suture/error.h"

#include "surgery/live_state.h"

namespace suture {

// --- LiveEdit ----------------------------------------------------------------------------------

LiveEdit::LiveEdit(LiveEdit&& other) noexcept
    : state_(std::move(other.state_)), id_(std::exchange(other.id_, 0)) {}

LiveEdit& LiveEdit::operator=(LiveEdit&& other) noexcept {
  if (this == &other) return *this;
  if (state_ && state_ == other.state_)
    state_->end_replaced(id_, other.id_);
  else
    end();
  state_ = std::move(other.state_);
  id_ = std::exchange(other.id_, 0);
  return *this;
}

LiveEdit::~LiveEdit() { end(); }

void LiveEdit::end() noexcept {
  if (state_) state_->end(id_);
  state_.reset();
}

LiveState& LiveEdit::state() const {
  if (!state_) throw UsageError({{}, {}, "an empty edit", "one that is applied", {}});
  return *state_;
}

void LiveEdit::change(const std::function<void(LiveChange&)>& requests) {
  state().change([&](LiveEdits& edits) {
    LiveChange change(state_, edits);
    requests(change);
  });
}

void LiveEdit::rescale(double scale) {
  change([&](LiveChange& change) { change.rescale(*this, scale); });
}

void LiveEdit::enable(bool on) {
  change([&](LiveChange& change) { change.enable(*this, on); });
}

void LiveEdit::mask(const Selection& selection) {
  change([&](LiveChange& change) { change.mask(*this, selection); });
}

void LiveEdit::scale_layers(std::vector<double> coefficients, double outside_layers) {
  change([&](LiveChange& change) {
    change.scale_layers(*this, std::move(coefficients), outside_layers);
  });
}

void LiveEdit::undo() {
  change([&](LiveChange& change) { change.undo(*this); });
}

bool LiveEdit::applied() const { return state_ && state_->edits().find(id_) != nullptr; }
double LiveEdit::scale() const { return state().edits().at(id_).scale; }
bool LiveEdit::enabled() const { return state().edits().at(id_).enabled; }
TaskVector LiveEdit::vector() const { return state().edits().at(id_).effective; }

// --- LiveChange --------------------------------------------------------------------------------

std::uint64_t LiveChange::id_of(const LiveEdit& edit) const {
  if (&edit.state() != state_.get())
    throw UsageError({{}, {}, "an edit of other weights", "one of these", {}});
  return edit.id_;
}

LiveEdit LiveChange::apply(const TaskVector& vector, double scale) {
  return LiveEdit(state_, state_->add(edits_, vector, scale));
}

void LiveChange::rescale(const LiveEdit& edit, double scale) {
  state_->revise(edits_, id_of(edit), [&](AppliedEdit& revised) { revised.scale = scale; });
}

void LiveChange::enable(const LiveEdit& edit, bool on) {
  state_->revise(edits_, id_of(edit), [&](AppliedEdit& revised) { revised.enabled = on; });
}

void LiveChange::mask(const LiveEdit& edit, const Selection& selection) {
  state_->revise(edits_, id_of(edit), [&](AppliedEdit& revised) { revised.mask = selection; });
}

void LiveChange::scale_layers(const LiveEdit& edit, std::vector<double> coefficients,
                              double outside_layers) {
  state_->revise(edits_, id_of(edit), [&](AppliedEdit& revised) {
    revised.layers.reset();
    if (!coefficients.empty() || outside_layers != 1)
      revised.layers = LayerScales{std::move(coefficients), outside_layers};
  });
}

void LiveChange::undo(const LiveEdit& edit) { state_->remove(edits_, id_of(edit)); }

// --- LiveBatch ---------------------------------------------------------------------------------

LiveBatch::LiveBatch(std::shared_ptr<LiveState> state)
    : state_(std::move(state)), version_(state_->enter()), thread_(std::this_thread::get_id()) {}

LiveBatch::~LiveBatch() { state_->leave(thread_); }

// --- LiveWeights -------------------------------------------------------------------------------

LiveWeights::LiveWeights(const StateDict& weights, LiveOptions options)
    : state_(std::make_shared<LiveState>(weights, std::move(options))) {}

LiveWeights::LiveWeights(const torch::nn::Module& module, LiveOptions options)
    : LiveWeights(state_dict_of(module), std::move(options)) {}

LiveWeights::LiveWeights(const torch::jit::Module& module, LiveOptions options)
    : LiveWeights(state_dict_of(module), std::move(options)) {}

LiveEdit LiveWeights::apply(const TaskVector& vector, double scale) {
  LiveEdit edit;
  change([&](LiveChange& change) { edit = change.apply(vector, scale); });
  return edit;
}

void LiveWeights::change(const std::function<void(LiveChange&)>& requests) {
  state_->change([&](LiveEdits& edits) {
    LiveChange change(state_, edits);
    requests(change);
  });
}

LiveBatch LiveWeights::batch() const { return LiveBatch(state_); }

std::uint64_t LiveWeights::version() const { return state_->version(); }
std::uint64_t LiveWeights::kept_bytes() const { return state_->kept_bytes(); }
std::string LiveWeights::failure() const { return state_->failure(); }

TaskVector LiveWeights::vector() const {
  TaskVector sum;
  for (const auto& edit : state_->edits().list)
    if (edit->enabled) sum = sum + edit->effective;
  return sum;
}

}  // namespace suture
