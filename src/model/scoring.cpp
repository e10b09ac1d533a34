#include "model/scoring.h"

#include <algorithm>
#include <map>
#include <numeric>

#include <ATen/ATen.h>

#include "suture/error.h"

namespace suture::model {
namespace {

// The requests of one context. A lone request is fed whole; of several, the context first.
struct Group {
  std::vector<std::size_t> members;
  TokenIds fed;  // behind the prefix that all groups share
};

// A request of several with one context: what follows its first token.
struct Branch {
  std::size_t member;
  std::int64_t row;  // of the context
  std::size_t length;
};

// A token to be scored: where what precedes it is fed, and where its score belongs.
struct Target {
  FedToken place;
  std::int64_t token;  // -1: the likeliest
  TokenScore* score;
};

std::int64_t cache_token_bytes(const DecoderConfig& config, const at::TensorOptions& options) {
  return 2 * config.layers * config.key_value_heads * config.head_size *
         static_cast<std::int64_t>(options.dtype().itemsize());
}

// What is fed of a request: all but its last token, which nothing is asked behind.
TokenIds fed_tokens(const ScoringRequest& request) {
  TokenIds tokens = request.context;
  tokens.insert(tokens.end(), request.continuation.begin(), request.continuation.end());
  if (!request.with_next_top) tokens.pop_back();
  return tokens;
}

class Scoring {
 public:
  Scoring(Decoder& decoder, const std::vector<ScoringRequest>& requests, const ModelRun& run)
      : decoder_(decoder), requests_(requests), run_(run), results_(requests.size()) {
    for (std::size_t i = 0; i < requests.size(); ++i) {
      results_[i].tokens.resize(requests[i].continuation.size());
      if (requests[i].with_next_top) results_[i].next_top.emplace();
    }
  }

  std::vector<ContinuationScore> score() {
    if (requests_.empty()) return {};
    prefix_ = shared_prefix();
    std::optional<KeyValueCache> prefix;
    if (prefix_ > 0) prefix = feed_prefix(decoder_, requests_.front().context, prefix_, run_.memo);
    std::vector<Group> groups = group_by_context();
    // Longest first: rows of like length are padded little, and what will not fit shows early.
    std::stable_sort(groups.begin(), groups.end(),
                     [](const Group& a, const Group& b) { return a.fed.size() > b.fed.size(); });
    for (std::size_t begin = 0; begin < groups.size();) {
      const std::size_t tokens = groups[begin].fed.size();
      const std::size_t count = rows_that_fit(tokens, prefix_ + tokens, groups.size() - begin);
      score_contexts({groups.begin() + begin, groups.begin() + begin + count}, prefix);
      begin += count;
    }
    if (states_waiting() > 0) apply_head(waiting_.size(0));
    return std::move(results_);
  }

 private:
  // Every context keeps at least one token of its own, behind which its first score is asked.
  std::size_t shared_prefix() const {
    if (requests_.size() < 2) return 0;
    const TokenIds& first = requests_.front().context;
    std::size_t length = first.size() - 1;
    for (const ScoringRequest& request : requests_) {
      length =
          std::min({length, request.context.size() - 1, common_prefix(first, request.context)});
    }
    return length < kSharedTokens ? 0 : length;
  }

  std::vector<Group> group_by_context() const {
    std::map<TokenIds, std::size_t> known;
    std::vector<Group> groups;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      const auto [at, is_new] = known.emplace(requests_[i].context, groups.size());
      if (is_new) groups.emplace_back();
      groups[at->second].members.push_back(i);
    }
    for (Group& group : groups) {
      const ScoringRequest& first = requests_[group.members.front()];
      const TokenIds fed = group.members.size() == 1 ? fed_tokens(first) : first.context;
      group.fed.assign(fed.begin() + static_cast<std::ptrdiff_t>(prefix_), fed.end());
    }
    return groups;
  }

  // How many rows of so many new tokens and so many positions in all go into one batch.
  std::size_t rows_that_fit(std::size_t tokens, std::size_t positions,
                            std::size_t available) const {
    const std::int64_t row_bytes = static_cast<std::int64_t>(positions) *
                                   cache_token_bytes(decoder_.config(), decoder_.options());
    std::int64_t rows =
        std::min(kBatchTokens / static_cast<std::int64_t>(tokens), kCacheBytes / row_bytes);
    if (run_.batch_size > 0) rows = std::min(rows, static_cast<std::int64_t>(run_.batch_size));
    return std::min(available, static_cast<std::size_t>(std::max<std::int64_t>(rows, 1)));
  }

  void score_contexts(const std::vector<Group>& groups,
                      const std::optional<KeyValueCache>& prefix) {
    check_cancelled(run_);
    const auto rows = static_cast<std::int64_t>(groups.size());
    const auto start = static_cast<std::int64_t>(prefix_);
    const auto capacity = start + static_cast<std::int64_t>(groups.front().fed.size());
    KeyValueCache cache =
        prefix ? prefix->select(std::vector<std::int64_t>(groups.size(), 0), start, capacity)
               : KeyValueCache(decoder_.config(), rows, capacity, decoder_.options());
    std::vector<TokenIds> fed;
    std::vector<Target> targets;
    for (const Group& group : groups) {
      add_targets(group, static_cast<std::int64_t>(fed.size()), targets);
      fed.push_back(group.fed);
    }
    const at::Tensor ids = padded_rows(fed);
    if (run_.memo != nullptr) run_.memo->begin_unit(ids.numel() + branch_tokens(groups), false);
    const std::vector<std::int64_t> starts(groups.size(), start);
    score_targets(decoder_.feed(ids, starts, cache, places_of(targets), run_.memo), targets);
    score_shared_continuations(groups, cache);
  }

  // Tokens that the continuations of shared contexts take at most, padded.
  std::int64_t branch_tokens(const std::vector<Group>& groups) const {
    std::size_t count = 0, longest = 0;
    for (const Group& group : groups) {
      for (const std::size_t member : group.members) {
        if (group.members.size() == 1) continue;
        ++count;
        longest = std::max(longest, requests_[member].continuation.size());
      }
    }
    return static_cast<std::int64_t>(count * longest);
  }

  // Of a lone request all tokens; of several each one's first.
  void add_targets(const Group& group, std::int64_t row, std::vector<Target>& targets) {
    const ScoringRequest& first = requests_[group.members.front()];
    auto place = static_cast<std::int64_t>(first.context.size() - 1 - prefix_);
    if (group.members.size() == 1) {
      add_continuation(group.members.front(), 0, row, place, targets);
      return;
    }
    for (const std::size_t member : group.members) {
      targets.push_back(
          {{row, place}, requests_[member].continuation.front(), &results_[member].tokens.front()});
    }
  }

  // Scores of a request's tokens from `from` on; the state before the first stands at `place`.
  void add_continuation(std::size_t member, std::size_t from, std::int64_t row, std::int64_t place,
                        std::vector<Target>& targets) {
    const TokenIds& continuation = requests_[member].continuation;
    for (std::size_t i = from; i < continuation.size(); ++i)
      targets.push_back({{row, place++}, continuation[i], &results_[member].tokens[i]});
    if (results_[member].next_top)
      targets.push_back({{row, place}, -1, &*results_[member].next_top});
  }

  // What follows the first token of continuations whose context stands in `contexts`.
  void score_shared_continuations(const std::vector<Group>& groups, const KeyValueCache& contexts) {
    std::vector<Branch> branches = branches_of(groups);
    std::stable_sort(branches.begin(), branches.end(),
                     [](const Branch& a, const Branch& b) { return a.length > b.length; });
    for (std::size_t begin = 0; begin < branches.size();) {
      const std::size_t length = branches[begin].length;
      const std::size_t positions = static_cast<std::size_t>(contexts.capacity()) + length;
      const std::size_t count = rows_that_fit(length, positions, branches.size() - begin);
      score_branches({branches.begin() + begin, branches.begin() + begin + count}, contexts);
      begin += count;
    }
  }

  // Requests without one are done.
  std::vector<Branch> branches_of(const std::vector<Group>& groups) {
    std::vector<Branch> branches;
    for (std::size_t row = 0; row < groups.size(); ++row) {
      for (const std::size_t member : groups[row].members) {
        const ScoringRequest& request = requests_[member];
        const std::size_t length = request.continuation.size() - (request.with_next_top ? 0 : 1);
        if (groups[row].members.size() > 1 && length > 0) {
          branches.push_back({member, static_cast<std::int64_t>(row), length});
        } else {
          report(1);
        }
      }
    }
    return branches;
  }

  void score_branches(const std::vector<Branch>& branches, const KeyValueCache& contexts) {
    check_cancelled(run_);
    std::vector<std::int64_t> rows, starts;
    std::vector<TokenIds> fed;
    std::vector<Target> targets;
    for (const Branch& branch : branches) {
      const ScoringRequest& request = requests_[branch.member];
      add_continuation(branch.member, 1, static_cast<std::int64_t>(rows.size()), 0, targets);
      rows.push_back(branch.row);
      starts.push_back(static_cast<std::int64_t>(request.context.size()));
      fed.emplace_back(request.continuation.begin(),
                       request.continuation.begin() + static_cast<std::ptrdiff_t>(branch.length));
    }
    const std::int64_t longest = *std::max_element(starts.begin(), starts.end());
    const auto capacity = longest + static_cast<std::int64_t>(branches.front().length);
    KeyValueCache cache = contexts.select(rows, longest, capacity);
    const std::vector<FedToken> places = places_of(targets);
    score_targets(decoder_.feed(padded_rows(fed), starts, cache, places, run_.memo), targets);
    report(branches.size());
  }

  // Each place once: targets of one place stand side by side.
  static std::vector<FedToken> places_of(const std::vector<Target>& targets) {
    std::vector<FedToken> places;
    for (const Target& target : targets)
      if (places.empty() || !(places.back() == target.place)) places.push_back(target.place);
    return places;
  }

  // Takes the states of the targets' places. They wait for the head until there are enough of
  // them: its weights are read whole, however few it is applied to.
  void score_targets(const at::Tensor& states, const std::vector<Target>& targets) {
    auto state = static_cast<std::int64_t>(states_waiting());
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (i > 0 && !(targets[i].place == targets[i - 1].place)) ++state;
      asked_.push_back({state, targets[i].token});
      asked_scores_.push_back(targets[i].score);
    }
    waiting_ = waiting_.defined() ? at::cat({waiting_, states}) : states;
    while (states_waiting() >= static_cast<std::size_t>(kHeadRows)) apply_head(kHeadRows);
  }

  std::size_t states_waiting() const {
    return waiting_.defined() ? static_cast<std::size_t>(waiting_.size(0)) : 0;
  }

  // Scores what is asked of the first `count` states that wait. A few at a time: a row of scores is
  // large.
  void apply_head(std::int64_t count) {
    const auto end = std::find_if(asked_.begin(), asked_.end(),
                                  [&](const AskedToken& one) { return one.state >= count; });
    const std::vector<AskedToken> asked(asked_.begin(), end);
    const std::vector<TokenScore> scores =
        score_logits(decoder_.head(waiting_.narrow(0, 0, count)), asked);
    for (std::size_t i = 0; i < scores.size(); ++i) *asked_scores_[i] = scores[i];
    asked_.erase(asked_.begin(), end);
    asked_scores_.erase(asked_scores_.begin(),
                        asked_scores_.begin() + static_cast<std::ptrdiff_t>(scores.size()));
    for (AskedToken& one : asked_) one.state -= count;
    waiting_ = waiting_.narrow(0, count, waiting_.size(0) - count);
  }

  void report(std::size_t requests) {
    done_ += requests;
    if (run_.on_progress) run_.on_progress(done_, requests_.size());
  }

  Decoder& decoder_;
  const std::vector<ScoringRequest>& requests_;
  const ModelRun& run_;
  std::vector<ContinuationScore> results_;
  at::Tensor waiting_;                     // states for the head, [n, hidden_size]
  std::vector<AskedToken> asked_;          // of those, in order
  std::vector<TokenScore*> asked_scores_;  // where each one's score belongs
  std::size_t prefix_ = 0;                 // tokens that all contexts begin with, fed once
  std::size_t done_ = 0;
};

}  // namespace

std::size_t common_prefix(const TokenIds& a, const TokenIds& b) {
  const auto shorter = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(shorter), b.begin()).first -
      a.begin());
}

std::vector<TokenScore> score_logits(const at::Tensor& logits,
                                     const std::vector<AskedToken>& asked) {
  const at::Tensor total = logits.logsumexp(1);
  const auto [top, top_token] = logits.max(1);
  const at::Tensor best = (top - total).cpu(), best_token = top_token.cpu();
  const auto* ids = best_token.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> states, tokens;
  for (const AskedToken& one : asked) {
    states.push_back(one.state);
    tokens.push_back(one.token < 0 ? ids[one.state] : one.token);
  }
  const at::Tensor state = at::tensor(states, at::kLong).to(logits.device());
  const at::Tensor token = at::tensor(tokens, at::kLong).to(logits.device());
  const at::Tensor own = (logits.index({state, token}) - total.index_select(0, state)).cpu();
  std::vector<TokenScore> scores;
  for (std::size_t i = 0; i < states.size(); ++i) {
    scores.push_back(
        {own.const_data_ptr<float>()[i], ids[states[i]], best.const_data_ptr<float>()[states[i]]});
  }
  return scores;
}

KeyValueCache feed_prefix(Decoder& decoder, const TokenIds& sequence, std::size_t length,
                          ActivationMemo* memo) {
  const auto tokens = static_cast<std::int64_t>(length);
  if (memo != nullptr) memo->begin_unit(tokens, true);
  KeyValueCache cache(decoder.config(), 1, tokens, decoder.options());
  const TokenIds prefix(sequence.begin(), sequence.begin() + tokens);
  decoder.feed(at::tensor(prefix, at::kLong).unsqueeze(0), {0}, cache, {}, memo);
  return cache;
}

at::Tensor padded_rows(const std::vector<TokenIds>& rows) {
  std::size_t longest = 0;
  for (const TokenIds& row : rows) longest = std::max(longest, row.size());
  at::Tensor ids = at::zeros(
      {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(longest)}, at::kLong);
  auto* data = ids.mutable_data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy(rows[i].begin(), rows[i].end(), data + i * longest);
  return ids;
}

void check_cancelled(const ModelRun& run) {
  if (run.cancel != nullptr && run.cancel->load(std::memory_order_relaxed)) throw Interrupted();
}

std::vector<ContinuationScore> score_continuations(Decoder& decoder,
                                                   const std::vector<ScoringRequest>& requests,
                                                   const ModelRun& run) {
  return Scoring(decoder, requests, run).score();
}

}  // namespace suture::model
