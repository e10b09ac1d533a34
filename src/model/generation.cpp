#include "model/generation.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include <ATen/ATen.h>

#include "suture/error.h"

#include "core/one_torch_thread.h"
#include "kernels/weight_product.h"
#include "model/sampler.h"
#include "model/scoring.h"

namespace suture::model {
namespace {

constexpr std::size_t kDeviceRows = 64;  // at once, where there are units to feed
constexpr std::int64_t kRoom = 256;      // positions that a cache grows by

// A row's next token.
struct Choice {
  std::int64_t token;
  TokenScore score;
};

// One sequence while it grows.
struct Growing {
  const GenerationRequest* request;
  Generation* result;
  Sampler sampler;
  std::int64_t length;  // positions fed and to be fed

  // Takes the token that stands next. True when the sequence ends with it.
  bool take(const Choice& choice, std::int64_t max_length) {
    result->tokens.push_back(choice.token);
    result->scores.push_back(choice.score);
    const TokenIds& ends = request->end_tokens;
    if (std::find(ends.begin(), ends.end(), choice.token) != ends.end() ||
        (request->stop && request->stop(result->tokens))) {
      result->finish = FinishReason::kStop;
      return true;
    }
    return static_cast<std::int64_t>(result->tokens.size()) >= request->max_new_tokens ||
           ++length > max_length;
  }
};

class Batch {
 public:
  Batch(Decoder& decoder, const ModelRun& run) : decoder_(decoder), run_(run) {}

  void add(const GenerationRequest& request, Generation& result) {
    rows_.push_back({&request, &result, Sampler(request.sampling),
                     static_cast<std::int64_t>(request.prompt.size())});
  }

  void generate() {
    if (rows_.empty()) return;
    at::Tensor last = feed_prompts();
    const bool is_few = rows_.size() <= kernels::kMaxProductInputs;
    const OneTorchThread alone(is_few && decoder_.options().device().is_cpu());
    while (take_tokens(last)) last = feed_new_tokens();
  }

 private:
  // What all prompts begin with is fed once; each keeps a token of its own.
  std::size_t shared_prefix() const {
    const TokenIds& first = rows_.front().request->prompt;
    std::size_t length = rows_.size() < 2 ? 0 : first.size() - 1;
    for (const Growing& row : rows_) {
      const TokenIds& prompt = row.request->prompt;
      length = std::min({length, prompt.size() - 1, common_prefix(first, prompt)});
    }
    return length < kSharedTokens ? 0 : length;
  }

  // Gives the hidden states [rows, hidden_size] behind the prompts.
  at::Tensor feed_prompts() {
    const std::size_t prefix = shared_prefix();
    std::vector<TokenIds> fed;
    std::vector<FedToken> last;
    for (const Growing& row : rows_) {
      const TokenIds& prompt = row.request->prompt;
      fed.emplace_back(prompt.begin() + static_cast<std::ptrdiff_t>(prefix), prompt.end());
      last.push_back({static_cast<std::int64_t>(last.size()),
                      static_cast<std::int64_t>(fed.back().size()) - 1});
    }
    const at::Tensor tokens = padded_rows(fed);
    const auto start = static_cast<std::int64_t>(prefix);
    const std::int64_t capacity = start + tokens.size(1) + kRoom;
    if (prefix > 0) {
      cache_ = feed_prefix(decoder_, rows_.front().request->prompt, prefix, run_.memo)
                   .select(std::vector<std::int64_t>(rows_.size(), 0), start, capacity);
    } else {
      cache_.emplace(decoder_.config(), tokens.size(0), capacity, decoder_.options());
    }
    if (run_.memo != nullptr) run_.memo->begin_unit(tokens.numel(), true);
    return decoder_.feed(tokens, std::vector<std::int64_t>(rows_.size(), start), *cache_, last,
                         run_.memo);
  }

  // Chooses each row's next token and drops the rows that end. False when none is left.
  bool take_tokens(const at::Tensor& hidden) {
    const std::vector<Choice> choices = choose(hidden);
    std::vector<std::int64_t> kept;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (!rows_[i].take(choices[i], decoder_.config().max_length))
        kept.push_back(static_cast<std::int64_t>(i));
    }
    if (kept.size() == rows_.size()) return true;
    std::vector<Growing> going;
    std::int64_t longest = 0;
    for (const std::int64_t i : kept) {
      going.push_back(std::move(rows_[static_cast<std::size_t>(i)]));
      longest = std::max(longest, going.back().length);
    }
    rows_ = std::move(going);
    if (!rows_.empty()) cache_ = cache_->select(kept, longest - 1, longest + kRoom);
    return !rows_.empty();
  }

  std::vector<Choice> choose(const at::Tensor& hidden) {
    const at::Tensor logits = decoder_.head(hidden);
    if (!logits.amax(1).isfinite().all().item<bool>()) {
      throw Error({{},
                   {},
                   "the model's scores are no numbers",
                   {},
                   "compute in f32, or look for NaN in its weights"});
    }
    std::vector<AskedToken> asked;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const auto state = static_cast<std::int64_t>(i);
      Sampler& sampler = rows_[i].sampler;
      asked.push_back({state, sampler.is_greedy() ? -1 : sampler.draw(logits[state].cpu())});
    }
    const std::vector<TokenScore> scores = score_logits(logits, asked);
    std::vector<Choice> choices;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const std::int64_t drawn = asked[i].token;
      choices.push_back({drawn < 0 ? scores[i].top_token : drawn, scores[i]});
    }
    return choices;
  }

  at::Tensor feed_new_tokens() {
    check_cancelled(run_);
    TokenIds tokens;
    std::vector<std::int64_t> starts;
    std::vector<FedToken> all;
    for (const Growing& row : rows_) {
      all.push_back({static_cast<std::int64_t>(all.size()), 0});
      tokens.push_back(row.result->tokens.back());
      starts.push_back(row.length - 1);
    }
    const std::int64_t end = *std::max_element(starts.begin(), starts.end()) + 1;
    if (end > cache_->capacity()) cache_->reserve(end + end / 2 + kRoom);
    return decoder_.feed(at::tensor(tokens, at::kLong).unsqueeze(1), starts, *cache_, all);
  }

  Decoder& decoder_;
  const ModelRun& run_;
  std::vector<Growing> rows_;
  std::optional<KeyValueCache> cache_;
};

}  // namespace

std::vector<Generation> generate(Decoder& decoder, const std::vector<GenerationRequest>& requests,
                                 const ModelRun& run) {
  std::vector<Generation> results(requests.size());
  std::vector<std::size_t> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return requests[a].prompt.size() > requests[b].prompt.size();
  });
  const std::size_t quick =
      decoder.options().device().is_cpu() ? kernels::kMaxProductInputs : kDeviceRows;
  const std::size_t rows = run.batch_size > 0 ? run.batch_size : quick;
  for (std::size_t begin = 0; begin < order.size(); begin += rows) {
    check_cancelled(run);
    const std::size_t end = std::min(order.size(), begin + rows);
    Batch batch(decoder, run);
    for (std::size_t i = begin; i < end; ++i) {
      if (requests[order[i]].max_new_tokens > 0) batch.add(requests[order[i]], results[order[i]]);
    }
    batch.generate();
    if (run.on_progress) run.on_progress(end, order.size());
  }
  return results;
}

}  // namespace suture::model
