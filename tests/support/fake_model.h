#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

#include "suture/causal_model.h"
#include "suture/error.h"

namespace suture::test {

/// A causal model without weights: the probabilities of the next token are a fixed function of the
/// two tokens before it, and sum to one.
class FakeModel : public CausalModel {
 public:
  explicit FakeModel(std::int64_t vocab_size = 32, std::int64_t max_length = 64)
      : vocab_size_(vocab_size), max_length_(max_length) {}

  /// log p(next | the last two of `before`) for every token.
  std::vector<double> log_probabilities(const TokenIds& before) const {
    const std::uint64_t last = static_cast<std::uint64_t>(before.back());
    const std::uint64_t previous =
        before.size() > 1 ? static_cast<std::uint64_t>(before[before.size() - 2]) : 97;
    std::vector<double> logs;
    double sum = 0;
    for (std::uint64_t id = 0; id < static_cast<std::uint64_t>(vocab_size_); ++id) {
      const std::uint64_t mixed = (id * 7919 + last * 104729 + previous * 1299709 + 13) % 1009;
      logs.push_back(static_cast<double>(mixed) / 100);
      sum += std::exp(logs.back());
    }
    for (double& log : logs) log -= std::log(sum);
    return logs;
  }

  std::vector<ContinuationScore> score(const std::vector<ScoringRequest>& requests,
                                       const ModelRun&) override {
    ++score_calls;
    std::vector<ContinuationScore> scores;
    for (const ScoringRequest& request : requests) {
      TokenIds before = request.context;
      ContinuationScore& score = scores.emplace_back();
      for (const std::int64_t token : request.continuation) {
        score.tokens.push_back(score_of(before, token));
        before.push_back(token);
      }
      if (request.with_next_top) score.next_top = score_of(before, top(before));
    }
    return scores;
  }

  /// Greedy whatever the sampling. Waits while `holding`, until it is cancelled.
  std::vector<Generation> generate(const std::vector<GenerationRequest>& requests,
                                   const ModelRun& run) override {
    ++generate_calls;
    last_generation = requests;
    const int now = ++running;
    most_running = std::max(most_running.load(), now);
    while (holding && !(run.cancel != nullptr && *run.cancel)) std::this_thread::yield();
    --running;
    if (holding) throw Interrupted();
    std::vector<Generation> generations;
    for (const GenerationRequest& request : requests) generations.push_back(generate_one(request));
    return generations;
  }

  std::int64_t max_length() const override { return max_length_; }
  std::int64_t vocab_size() const override { return vocab_size_; }

  std::int64_t top(const TokenIds& before) const {
    const auto logs = log_probabilities(before);
    return std::max_element(logs.begin(), logs.end()) - logs.begin();
  }

  int score_calls = 0, generate_calls = 0;
  std::vector<GenerationRequest> last_generation;
  std::atomic<bool> holding{false};
  std::atomic<int> running{0}, most_running{0};

 private:
  TokenScore score_of(const TokenIds& before, std::int64_t token) const {
    const auto logs = log_probabilities(before);
    const std::int64_t best = top(before);
    return {logs[static_cast<std::size_t>(token)], best, logs[static_cast<std::size_t>(best)]};
  }

  Generation generate_one(const GenerationRequest& request) const {
    Generation made;
    TokenIds before = request.prompt;
    while (static_cast<std::int64_t>(made.tokens.size()) < request.max_new_tokens &&
           static_cast<std::int64_t>(before.size()) <= max_length_) {
      const std::int64_t token = top(before);
      made.scores.push_back(score_of(before, token));
      made.tokens.push_back(token);
      before.push_back(token);
      const TokenIds& ends = request.end_tokens;
      if (std::find(ends.begin(), ends.end(), token) != ends.end() ||
          (request.stop && request.stop(made.tokens))) {
        made.finish = FinishReason::kStop;
        break;
      }
    }
    return made;
  }

  std::int64_t vocab_size_, max_length_;
};

}  // namespace suture::test
