#include "model/activation_memo.h"

#include <stdexcept>

#include <ATen/ATen.h>

namespace suture::model {

std::uint64_t ActivationMemo::Feed::bytes() const {
  std::uint64_t sum = hidden.nbytes();
  for (const auto* tensors : {&keys, &values})
    for (const at::Tensor& tensor : *tensors) sum += tensor.nbytes();
  return sum;
}

void ActivationMemo::forget_last() {
  for (const Unit& unit : snapshots_.back().units)
    for (const Feed& feed : unit) held_bytes_ -= feed.bytes();
  snapshots_.pop_back();
}

void ActivationMemo::forget_above(std::size_t layer) {
  if (last_use_ && !snapshots_.empty()) forget_last();
  last_use_ = false;
  if (kept_.layer > 0) snapshots_.push_back(std::move(kept_));
  kept_ = {};
  while (held_layer() > layer) forget_last();
}

void ActivationMemo::begin(std::size_t keep, bool last_use) {
  forget_above(SIZE_MAX);
  kept_.layer = keep > held_layer() ? keep : 0;
  last_use_ = last_use;
  next_unit_ = 0;
}

void ActivationMemo::begin_unit(std::int64_t tokens, bool with_cache) {
  with_cache_ = with_cache;
  next_feed_ = 0;
  resumed_ = nullptr;
  if (!snapshots_.empty() && next_unit_ < snapshots_.back().units.size()) {
    Unit& unit = snapshots_.back().units[next_unit_];
    if (!unit.empty()) resumed_ = &unit;
  }
  ++next_unit_;
  const std::uint64_t layers = with_cache ? kept_.layer : 0;
  const std::uint64_t bytes =
      static_cast<std::uint64_t>(tokens) * (sizes_.hidden_bytes + layers * sizes_.cache_bytes);
  std::uint64_t held = held_bytes_;
  if (resumed_ != nullptr && last_use_)
    for (const Feed& feed : *resumed_) held -= feed.bytes();
  keeps_unit_ = kept_.layer > 0 && held + bytes <= budget_bytes_;
  if (kept_.layer > 0) kept_.units.emplace_back();
}

std::pair<at::Tensor, std::size_t> ActivationMemo::resume(const at::Tensor& token_ids,
                                                          const std::vector<std::int64_t>& starts,
                                                          KeyValueCache& cache) {
  if (resumed_ == nullptr) return {at::Tensor(), 0};
  Feed& feed = resumed_->at(next_feed_++);
  if (!at::equal(feed.token_ids, token_ids))
    throw std::logic_error("other tokens are fed than those whose activations were kept");
  for (std::size_t i = 0; i < feed.keys.size(); ++i) {
    cache.keys(i).narrow(2, starts.front(), token_ids.size(1)).copy_(feed.keys[i]);
    cache.values(i).narrow(2, starts.front(), token_ids.size(1)).copy_(feed.values[i]);
  }
  if (!last_use_) return {feed.hidden.clone(), snapshots_.back().layer};
  held_bytes_ -= feed.bytes();
  const at::Tensor hidden = feed.hidden;
  feed.hidden = at::empty({0});
  feed.keys.clear();
  feed.values.clear();
  return {hidden, snapshots_.back().layer};
}

void ActivationMemo::reach(std::size_t layer, const at::Tensor& hidden, const at::Tensor& token_ids,
                           const std::vector<std::int64_t>& starts, const KeyValueCache& cache) {
  if (!keeps_unit_ || layer != kept_.layer) return;
  Feed feed{token_ids, hidden.clone(), {}, {}};
  for (std::size_t i = 0; with_cache_ && i < layer; ++i) {
    feed.keys.push_back(cache.keys(i).narrow(2, starts.front(), token_ids.size(1)).clone());
    feed.values.push_back(cache.values(i).narrow(2, starts.front(), token_ids.size(1)).clone());
  }
  held_bytes_ += feed.bytes();
  kept_.units.back().push_back(std::move(feed));
}

}  // namespace suture::model
