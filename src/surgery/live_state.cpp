#include "surgery/live_state.h"

#include <algorithm>
#include <exception>
#include <set>

#include "suture/error.h"

#include "surgery/apply_terms.h"

namespace suture {
namespace {

auto has_id(std::uint64_t id) {
  return [id](const std::shared_ptr<const AppliedEdit>& edit) { return edit->id == id; };
}

[[noreturn]] void refuse_unknown() {
  throw UsageError({{},
                    {},
                    "an edit that has been undone, or whose change is not made yet",
                    "one that is applied",
                    {}});
}

}  // namespace

const AppliedEdit* LiveEdits::find(std::uint64_t id) const {
  const auto at = std::find_if(list.begin(), list.end(), has_id(id));
  return at == list.end() ? nullptr : at->get();
}

const AppliedEdit& LiveEdits::at(std::uint64_t id) const {
  if (const AppliedEdit* edit = find(id)) return *edit;
  refuse_unknown();
}

LiveState::LiveState(const StateDict& weights, LiveOptions options)
    : options_(std::move(options)),
      weights_(weights),
      places_(weights_),
      originals_(places_, options_.originals),
      terms_(places_.size()),
      known_(places_.size(), true) {}

// --- Edits -------------------------------------------------------------------------------------

std::uint64_t LiveState::add(LiveEdits& edits, const TaskVector& vector, double scale) {
  AppliedEdit edit;
  edit.id = ++last_id_;  // never again, also when the change fails
  edit.vector = vector;
  edit.scale = scale;
  std::set<std::size_t> covers;
  for (const std::string& name : vector.names())
    if (const auto place = places_.find(name)) covers.insert(*place);
  edit.covers.assign(covers.begin(), covers.end());
  refresh(edit);
  edits.list.push_back(std::make_shared<const AppliedEdit>(std::move(edit)));
  return edits.list.back()->id;
}

void LiveState::revise(LiveEdits& edits, std::uint64_t id,
                       const std::function<void(AppliedEdit&)>& revise) const {
  const auto at = std::find_if(edits.list.begin(), edits.list.end(), has_id(id));
  if (at == edits.list.end()) refuse_unknown();
  AppliedEdit edit = **at;
  revise(edit);
  refresh(edit);
  *at = std::make_shared<const AppliedEdit>(std::move(edit));
}

void LiveState::remove(LiveEdits& edits, std::uint64_t id) const {
  const auto at = std::find_if(edits.list.begin(), edits.list.end(), has_id(id));
  if (at == edits.list.end()) refuse_unknown();
  edits.list.erase(at);
}

void LiveState::refresh(AppliedEdit& edit) const {
  edit.effective = (edit.scale * edit.vector).only(edit.mask);
  if (edit.layers) {
    edit.effective =
        edit.effective.scaled_by_layer(edit.layers->layers, edit.layers->outside_layers);
  }
  edit.reaches.clear();
  std::set<std::size_t> reached;
  for (const std::string& name : edit.effective.names()) {
    const auto place = places_.find(name);
    if (!place) throw missing_weight(name, edit.effective, weights_);
    require_writable(name, *place, active_terms(edit.effective.form(), name));
    if (reached.insert(*place).second)
      edit.reaches.emplace_back(*place, active_terms(edit.effective.form(), places_[*place].names));
  }
}

void LiveState::require_writable(const std::string& name, std::size_t place,
                                 const std::vector<ActiveTerm>& terms) const {
  const WeightPlace& at = places_[place];
  if (!at.unfit.empty())
    throw CompatibilityError({{}, name, at.unfit, "a weight that can be changed in place", {}});
  require_applicable(name, terms, at.weight);
  places_.require_apart(name, terms);
}

LiveEdits LiveState::edits() const {
  const std::lock_guard lock(facts_);
  return edits_;
}

std::string LiveState::failure() const {
  const std::lock_guard lock(facts_);
  return failure_;
}

// --- One change --------------------------------------------------------------------------------

void LiveState::change(const std::function<void(LiveEdits&)>& requests) {
  change(requests, options_.run);
}

void LiveState::change(const std::function<void(LiveEdits&)>& requests, const RunOptions& run) {
  // Before waiting for other changes, which may be waiting for this thread's batch.
  if (batches_.is_entered_here()) {
    throw UsageError(
        {{}, {}, "a change within a batch of the same thread", {}, "end the batch first"});
  }
  const std::lock_guard changing(changes_);
  LiveEdits next = edits();
  try {
    remove_ended(next);
    requests(next);
    remove_ended(next);  // those whose objects the requests replaced
    commit(std::move(next), run);
  } catch (const std::exception& error) {
    give_back_replaced(error.what());
    throw;
  } catch (...) {
    give_back_replaced("a change was given up");
    throw;
  }
  forget_ended();
}

LiveState::Terms LiveState::plan(const LiveEdits& edits) const {
  Terms terms(places_.size());
  for (const auto& edit : edits.list) {
    if (!edit->enabled) continue;
    for (const auto& [place, added] : edit->reaches)
      terms[place].insert(terms[place].end(), added.begin(), added.end());
  }
  return terms;
}

std::vector<PlaceWrite> LiveState::differing(const Terms& next) const {
  std::vector<PlaceWrite> writes;
  for (std::size_t i = 0; i < next.size(); ++i) {
    if (places_[i].data == nullptr) continue;  // empty
    if (!known_[i] || next[i] != terms_[i]) writes.push_back({i, &next[i]});
  }
  return writes;
}

void LiveState::require_possible(const std::vector<PlaceWrite>& writes, const Terms& next) const {
  std::set<const TensorSource*> sources;
  for (const PlaceWrite& write : writes) {
    const WeightPlace& at = places_[write.place];
    if (at.weight.const_data_ptr() != at.data || at.weight.sizes() != at.shape) {
      throw UsageError({{},
                        at.names.front(),
                        "the weight has moved to other memory or has another size",
                        "weights that stay as they were when the LiveWeights was made",
                        "make another one of the model as it is now"});
    }
    if (claim_.is_taken(at.data)) {
      throw UsageError({{},
                        at.names.front(),
                        "another LiveWeights has an edit in this weight",
                        "one LiveWeights for all edits of a model, of which copies may be made",
                        {}});
    }
    for (const ActiveTerm& term : *write.terms) {
      sources.insert(term.minuend_source);
      if (term.subtrahend_source != nullptr) sources.insert(term.subtrahend_source);
    }
    if (write.terms->empty()) continue;
    for (const std::size_t other : at.clashes) {
      if (next[other].empty()) continue;
      throw UsageError({{},
                        at.names.front(),
                        "shares a part of its memory with " +
                            printable(places_[other].names.front()) +
                            ", which would be changed as well",
                        "one of the two",
                        "mask the other out"});
    }
  }
  for (const TensorSource* source : sources) source->verify_unchanged();
  if (!writes.empty()) originals_.verify_unchanged();
}

// Beside running batches: it only reads the weights.
std::vector<std::size_t> LiveState::hold_originals(const std::vector<PlaceWrite>& writes,
                                                   const RunOptions& run) {
  std::vector<std::size_t> held;
  try {
    for (const PlaceWrite& write : writes) {
      if (originals_.holds(write.place)) continue;
      originals_.hold(write.place, run);
      held.push_back(write.place);
    }
  } catch (...) {
    for (const std::size_t place : held) originals_.drop(place);
    throw;
  }
  return held;
}

void LiveState::commit(LiveEdits next, const RunOptions& run) {
  Terms terms = plan(next);
  const std::vector<PlaceWrite> writes = differing(terms);
  require_possible(writes, terms);
  const std::vector<std::size_t> held = hold_originals(writes, run);
  {
    const std::lock_guard alone(batches_);
    try {
      write_places(writes, places_, originals_, run);
    } catch (const std::exception& error) {
      take_back(writes, error.what());
      throw;
    }
    mark(writes, true);
    publish(std::move(next), std::move(terms));
  }
  release_unneeded();
}

void LiveState::mark(const std::vector<PlaceWrite>& writes, bool known) {
  for (const PlaceWrite& write : writes) known_[write.place] = known;
  whole_ = std::find(known_.begin(), known_.end(), false) == known_.end();
}

void LiveState::publish(LiveEdits edits, Terms terms) {
  const std::lock_guard lock(facts_);
  std::swap(edits_, edits);
  std::swap(terms_, terms);
  ++version_;
}

void LiveState::release_unneeded() {
  std::vector<bool> needed(places_.size(), false);
  for (const auto& edit : edits_.list)
    for (const std::size_t place : edit->covers) needed[place] = true;
  std::set<const void*> edited;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (needed[i] || !known_[i])
      edited.insert(places_[i].data);
    else if (originals_.holds(i))
      originals_.drop(i);
  }
  claim_.replace(std::move(edited));
}

// --- What failed -------------------------------------------------------------------------------

// The state before, also when the run was cancelled; else the weights' own bytes.
void LiveState::take_back(const std::vector<PlaceWrite>& writes, const std::string& reason) {
  const RunOptions options = uncancelled();
  std::vector<PlaceWrite> before;
  for (const PlaceWrite& write : writes) before.push_back({write.place, &terms_[write.place]});
  try {
    write_places(before, places_, originals_, options);
    mark(before, true);
  } catch (const std::exception&) {
    switch_all_off(writes, reason);
  }
  release_unneeded();
}

void LiveState::switch_all_off(const std::vector<PlaceWrite>& writes, const std::string& reason) {
  const RunOptions options = uncancelled();
  LiveEdits off = edits();
  for (auto& edit : off.list) {
    AppliedEdit copy = *edit;
    copy.enabled = false;
    edit = std::make_shared<const AppliedEdit>(std::move(copy));
  }
  std::set<std::size_t> places;
  for (const PlaceWrite& write : writes) places.insert(write.place);
  for (std::size_t i = 0; i < places_.size(); ++i)
    if (!terms_[i].empty() || !known_[i]) places.insert(i);
  const std::vector<ActiveTerm> none;
  std::vector<PlaceWrite> originals;
  for (const std::size_t place : places) originals.push_back({place, &none});
  std::string left = "every edit is switched off, the weights hold their own bytes";
  bool whole = true;
  try {
    write_places(originals, places_, originals_, options);
  } catch (const std::exception&) {
    left = "the weights are in no whole state";
    whole = false;
  }
  mark(originals, whole);
  publish(std::move(off), Terms(places_.size()));
  const IoError error({{}, {}, "a change failed and could not be taken back: " + left, {}, reason});
  fail(error.what());
  throw error;
}

RunOptions LiveState::uncancelled() const {
  RunOptions options = options_.run;
  options.cancel = nullptr;
  return options;
}

void LiveState::fail(const std::string& reason) {
  const std::lock_guard lock(facts_);
  failure_ = reason;
}

// --- Edits whose objects are gone --------------------------------------------------------------

void LiveState::end(std::uint64_t id) noexcept {
  try {
    const bool within_a_change = changes_.is_locked_here();
    if (batches_.is_entered_here()) waits_for_batch_ = true;
    {
      const std::lock_guard lock(facts_);
      if (!within_a_change && edits_.find(id) == nullptr) return;
      ended_.push_back(id);
    }
    if (!within_a_change) change([](LiveEdits&) {}, uncancelled());
  } catch (const std::exception& error) {
    try {
      fail(error.what());
    } catch (...) {  // out of memory for words
    }
  } catch (...) {
  }
}

void LiveState::end_replaced(std::uint64_t id, std::uint64_t by) noexcept {
  try {
    if (changes_.is_locked_here()) {
      const std::lock_guard lock(facts_);
      replaced_.emplace_back(id, by);
    }
  } catch (...) {  // out of memory: the edit ends all the same
  }
  end(id);
}

// The objects that took the place of others stand for these again, as if nothing had been asked;
// edits whose objects are gone wait for the next change.
void LiveState::give_back_replaced(const std::string& reason) {
  const std::lock_guard lock(facts_);
  for (const auto& [id, by] : replaced_) {
    const auto edit = std::find_if(edits_.list.begin(), edits_.list.end(), has_id(id));
    if (edit == edits_.list.end()) continue;
    AppliedEdit again = **edit;
    again.id = by;
    *edit = std::make_shared<const AppliedEdit>(std::move(again));
    std::erase(ended_, id);
  }
  replaced_.clear();
  std::erase_if(ended_, [&](std::uint64_t id) { return edits_.find(id) == nullptr; });
  if (!ended_.empty()) failure_ = reason;
}

void LiveState::end_waiting() noexcept {
  try {
    change([](LiveEdits&) {}, uncancelled());
  } catch (...) {  // they go on waiting, and `failure` says why
  }
}

void LiveState::leave(std::thread::id entered_by) {
  batches_.leave(entered_by);
  const bool may_change = !batches_.is_entered_here() && !changes_.is_locked_here();
  if (may_change && waits_for_batch_.exchange(false)) end_waiting();
}

LiveState::~LiveState() {
  if (!ended_.empty()) end_waiting();
}

void LiveState::remove_ended(LiveEdits& edits) const {
  const std::lock_guard lock(facts_);
  for (const std::uint64_t id : ended_)
    edits.list.erase(std::remove_if(edits.list.begin(), edits.list.end(), has_id(id)),
                     edits.list.end());
}

void LiveState::forget_ended() {
  const std::lock_guard lock(facts_);
  std::erase_if(ended_, [&](std::uint64_t id) { return edits_.find(id) == nullptr; });
  replaced_.clear();
  if (ended_.empty()) failure_.clear();
}

// --- Batches -----------------------------------------------------------------------------------

std::uint64_t LiveState::enter() {
  batches_.enter();
  if (whole_) return version_;
  batches_.leave(std::this_thread::get_id());
  throw IoError({{}, {}, "the weights are in no whole state", {}, failure()});
}

}  // namespace suture
