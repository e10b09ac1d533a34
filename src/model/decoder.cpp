#include "model/decoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>

#include "suture/error.h"

#include "core/one_torch_thread.h"
#include "kernels/weight_product.h"

namespace suture::model {

/// Where the tokens of one call stand, and what each may look at.
struct Decoder::Step {
  KeyValueCache& cache;
  std::int64_t rows, length;
  std::int64_t start = 0;  // of every row, when all are alike
  std::int64_t end = 0;    // positions that keys are taken from
  bool alike = true;
  at::Tensor positions;       // [rows, length], for rows that are not alike
  at::Tensor cosines, sines;  // broadcast to [rows, length, 1, head_size]
  at::Tensor full, sliding;   // masks, made when first needed

  // True where a query at the end of the sequence sees all keys, and earlier ones all before them.
  bool is_plainly_causal(std::int64_t window) const {
    return alike && (start == 0 || length == 1) && (window == 0 || end <= window);
  }

  const at::Tensor& mask(std::int64_t window, at::Device device);
};

// Which keys [end] each query [rows or 1, 1, length, 1] sees: none behind it, and of those before
// it the window's.
const at::Tensor& Decoder::Step::mask(std::int64_t window, at::Device device) {
  at::Tensor& kept = window == 0 ? full : sliding;
  if (kept.defined()) return kept;
  const at::Tensor key = at::arange(end, at::TensorOptions(at::kLong).device(device));
  const at::Tensor query =
      (alike ? at::arange(start, start + length, key.options()).unsqueeze(0) : positions)
          .unsqueeze(1)
          .unsqueeze(3);
  kept = key <= query;
  if (window > 0) kept = kept.logical_and(key > query - window);
  return kept;
}

Decoder::Decoder(DecoderConfig config, DecoderWeights weights, const at::TensorOptions& options,
                 unsigned threads)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      options_(options),
      linear_(threads) {}

void Decoder::require_rotations(std::int64_t length) {
  if (rotations_.cosines.defined() && rotations_.cosines.size(0) >= length) return;
  const std::int64_t room = std::max<std::int64_t>(512, 2 * length);
  rotations_ = make_rotation_table(config_, room, options_);
}

Decoder::Step Decoder::make_step(const at::Tensor& token_ids,
                                 const std::vector<std::int64_t>& starts, KeyValueCache& cache) {
  Step step{cache, token_ids.size(0), token_ids.size(1), {}, {}, {}, {}, {}, {}, {}, {}};
  const auto [first, last] = std::minmax_element(starts.begin(), starts.end());
  step.start = *first;
  step.alike = *first == *last;
  step.end = *last + step.length;
  cache.reserve(step.end);
  require_rotations(step.end);
  if (step.alike) {
    step.cosines = rotations_.cosines.narrow(0, step.start, step.length).unsqueeze(1);
    step.sines = rotations_.sines.narrow(0, step.start, step.length).unsqueeze(1);
    return step;
  }
  step.positions = (at::tensor(starts, at::kLong).unsqueeze(1) + at::arange(step.length, at::kLong))
                       .to(options_.device());
  const auto gather = [&](const at::Tensor& table) {
    return table.index_select(0, step.positions.flatten())
        .view({step.rows, step.length, 1, config_.head_size});
  };
  step.cosines = gather(rotations_.cosines);
  step.sines = gather(rotations_.sines);
  return step;
}

// In float32, as transformers does, whatever the dtype of the activations.
at::Tensor Decoder::norm(const at::Tensor& hidden, const at::Tensor& weight) const {
  const at::Tensor wide = hidden.to(at::kFloat);
  const at::Tensor scale = (wide.square().mean(-1, true) + config_.norm_epsilon).rsqrt();
  return weight.to(options_.dtype()) * (wide * scale).to(options_.dtype());
}

// What the new tokens add to the cache: `heads` is [rows, length, heads, head_size].
static void store(const at::Tensor& slots, const at::Tensor& heads, std::int64_t start,
                  const at::Tensor& positions) {
  const at::Tensor by_head = heads.transpose(1, 2);
  if (!positions.defined()) {
    slots.narrow(2, start, by_head.size(2)).copy_(by_head);
    return;
  }
  slots.scatter_(2, positions.view({by_head.size(0), 1, by_head.size(2), 1}).expand_as(by_head),
                 by_head);
}

static at::Tensor flat_index(const std::vector<FedToken>& tokens, std::int64_t length) {
  std::vector<std::int64_t> index;
  for (const FedToken& token : tokens) index.push_back(token.row * length + token.token);
  return at::tensor(index, at::kLong);
}

// What each token sees, [rows · length, heads · head_size].
at::Tensor Decoder::attention(const at::Tensor& hidden, std::size_t index, Step& step) {
  const DecoderLayer& layer = weights_.layers[index];
  const std::int64_t queries = config_.heads, keys = config_.key_value_heads;
  const at::Tensor heads =
      linear_.apply(hidden, {&layer.query, &layer.key, &layer.value})
          .view({step.rows, step.length, queries + 2 * keys, config_.head_size});
  at::Tensor turning = heads.narrow(2, 0, queries + keys);
  if (config_.query_key_norm) {
    turning = at::cat({norm(heads.narrow(2, 0, queries), layer.query_norm),
                       norm(heads.narrow(2, queries, keys), layer.key_norm)},
                      2);
  }
  turning = rotate(turning, step.cosines, step.sines);
  store(step.cache.keys(index), turning.narrow(2, queries, keys), step.start, step.positions);
  store(step.cache.values(index), heads.narrow(2, queries + keys, keys), step.start,
        step.positions);

  const at::Tensor key = step.cache.keys(index).narrow(2, 0, step.end);
  const at::Tensor value = step.cache.values(index).narrow(2, 0, step.end);
  at::Tensor query = turning.narrow(2, 0, queries).transpose(1, 2);
  const std::int64_t window = config_.windows[index];
  const bool plain = step.is_plainly_causal(window);
  const c10::optional<at::Tensor> mask =
      plain ? c10::optional<at::Tensor>()
            : c10::optional<at::Tensor>(step.mask(window, options_.device()));
  at::Tensor seen;
  if (step.length == 1) {
    // The query heads of one key are its queries: nothing needs to be repeated.
    query = query.reshape({step.rows, keys, queries / keys, config_.head_size});
    seen = at::scaled_dot_product_attention(query, key, value, mask);
  } else {
    seen = at::scaled_dot_product_attention(query, key, value, mask, 0.0, plain, c10::nullopt,
                                            keys != queries)
               .transpose(1, 2);
  }
  return seen.reshape({step.rows * step.length, queries * config_.head_size});
}

at::Tensor Decoder::feed_forward(const at::Tensor& hidden, const DecoderLayer& layer) {
  std::vector<at::Tensor> both = linear_.apply_each(hidden, {&layer.gate, &layer.up});
  return linear_.apply(at::silu_(both[0]).mul_(both[1]), layer.down);
}

at::Tensor Decoder::feed(const at::Tensor& token_ids, const std::vector<std::int64_t>& starts,
                         KeyValueCache& cache, const std::vector<FedToken>& asked,
                         ActivationMemo* memo) {
  const std::int64_t length = token_ids.size(1);
  const std::int64_t piece = std::max<std::int64_t>(kPieceTokens / token_ids.size(0), 1);
  if (length <= piece) return feed_piece(token_ids, starts, cache, asked, memo);
  cache.reserve(*std::max_element(starts.begin(), starts.end()) + length);
  std::vector<at::Tensor> hidden;
  std::vector<std::int64_t> places = starts;
  std::vector<std::int64_t> order(asked.size());  // where each state comes to stand
  std::int64_t given = 0;
  for (std::int64_t begin = 0; begin < length; begin += piece) {
    const std::int64_t count = std::min(piece, length - begin);
    std::vector<FedToken> here;
    for (std::size_t i = 0; i < asked.size(); ++i) {
      if (asked[i].token < begin || asked[i].token >= begin + count) continue;
      here.push_back({asked[i].row, asked[i].token - begin});
      order[i] = given++;
    }
    hidden.push_back(feed_piece(token_ids.narrow(1, begin, count), places, cache, here, memo));
    for (std::int64_t& place : places) place += count;
  }
  return at::cat(hidden).index_select(0, at::tensor(order, at::kLong).to(options_.device()));
}

at::Tensor Decoder::feed_piece(const at::Tensor& token_ids, const std::vector<std::int64_t>& starts,
                               KeyValueCache& cache, const std::vector<FedToken>& asked,
                               ActivationMemo* memo) {
  const bool is_few = token_ids.numel() <= static_cast<std::int64_t>(kernels::kMaxProductInputs);
  const OneTorchThread alone(is_few && options_.device().is_cpu());
  Step step = make_step(token_ids, starts, cache);
  auto [hidden, first] = memo != nullptr ? memo->resume(token_ids, starts, cache)
                                         : std::pair<at::Tensor, std::size_t>();
  if (!hidden.defined()) {
    hidden = weights_.embedding.index_select(0, token_ids.flatten().to(options_.device()))
                 .to(options_.dtype());
  }
  for (std::size_t i = first; i < weights_.layers.size(); ++i) {
    if (memo != nullptr) memo->reach(i, hidden, token_ids, starts, cache);
    if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) throw Interrupted();
    const DecoderLayer& layer = weights_.layers[i];
    at::Tensor seen = attention(norm(hidden, layer.input_norm), i, step);
    if (i + 1 == weights_.layers.size()) {
      const at::Tensor index = flat_index(asked, step.length).to(options_.device());
      hidden = hidden.index_select(0, index);
      if (asked.empty()) break;
      seen = seen.index_select(0, index);
    }
    hidden += linear_.apply(seen, layer.output);
    hidden += feed_forward(norm(hidden, layer.attention_norm), layer);
  }
  if (memo != nullptr) memo->reach(weights_.layers.size(), hidden, token_ids, starts, cache);
  return hidden;
}

at::Tensor Decoder::head(const at::Tensor& hidden) {
  return linear_.apply(norm(hidden, weights_.norm), weights_.head).to(at::kFloat);
}

}  // namespace suture::model
