#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/key_value_cache.h"

namespace suture::model {

/// Hidden states below a layer, kept from one evaluation for a later one that feeds the same tokens
/// through the same lower layers: those are then not computed again. The results are the same bits,
/// since what is left out would have been computed from the same numbers in the same way.
///
/// The caller says which weights have stayed (`forget_above`) and what will be of use (`begin`).
/// Feeds must come in the same order in every evaluation. Not synchronised.
class ActivationMemo {
 public:
  /// What a token takes.
  struct Sizes {
    std::uint64_t hidden_bytes = 0;  ///< Its hidden state.
    std::uint64_t cache_bytes = 0;   ///< Its keys and values in one layer.
  };
  ActivationMemo(Sizes sizes, std::uint64_t budget_bytes)
      : sizes_(sizes), budget_bytes_(budget_bytes) {}

  /// Drops what is held above the inputs of layer `layer`: weights from that layer on are others
  /// now. 0 drops everything.
  void forget_above(std::size_t layer);

  /// The highest layer whose inputs are held; 0 for none.
  std::size_t held_layer() const { return snapshots_.empty() ? 0 : snapshots_.back().layer; }

  /// Begins an evaluation: it goes on from `held_layer()`, and the inputs of layer `keep` are kept
  /// on the way, as far as the budget goes; 0 keeps nothing. What it goes on from is given up when
  /// this is its `last_use`.
  void begin(std::size_t keep, bool last_use);

  std::uint64_t held_bytes() const { return held_bytes_; }

  // --- What feeding code calls ---------------------------------------------------------------

  /// Begins feeds of `tokens` tokens in all that build on each other: of all of them the lower
  /// layers are left out, or of none. `with_cache` also keeps their keys and values in the layers
  /// left out, for tokens that will be fed behind them; their rows must start at one position.
  void begin_unit(std::int64_t tokens, bool with_cache);

  /// The hidden states [tokens, hidden_size] of the next feed and the layer that they are the
  /// inputs of; undefined and 0 where nothing is held. Fills what `cache` lacks.
  std::pair<at::Tensor, std::size_t> resume(const at::Tensor& token_ids,
                                            const std::vector<std::int64_t>& starts,
                                            KeyValueCache& cache);

  /// Tells that a feed has come to layer `layer`.
  void reach(std::size_t layer, const at::Tensor& hidden, const at::Tensor& token_ids,
             const std::vector<std::int64_t>& starts, const KeyValueCache& cache);

 private:
  // One call of feed.
  struct Feed {
    at::Tensor token_ids, hidden;
    std::vector<at::Tensor> keys, values;  // by layer left out; none without cache
    std::uint64_t bytes() const;
  };
  using Unit = std::vector<Feed>;
  struct Snapshot {
    std::size_t layer = 0;
    std::vector<Unit> units;  // an empty one was not kept
  };
  void forget_last();

  Sizes sizes_;
  std::uint64_t budget_bytes_, held_bytes_ = 0;
  std::vector<Snapshot> snapshots_;  // by increasing layer
  Snapshot kept_;                    // by the present evaluation
  std::size_t next_unit_ = 0, next_feed_ = 0;
  bool last_use_ = false, with_cache_ = false, keeps_unit_ = false;
  Unit* resumed_ = nullptr;
};

}  // namespace suture::model
