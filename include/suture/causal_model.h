#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace suture {

namespace model {
/// Hidden states that one evaluation leaves to the next; for the library's own use.
class ActivationMemo;
}  // namespace model

/// Token ids, in order.
using TokenIds = std::vector<std::int64_t>;

/// What one continuation behind one context scores: log p(continuation | context).
struct ScoringRequest {
  TokenIds context;       ///< At least one token; the caller puts BOS or EOS for an empty text.
  TokenIds continuation;  ///< At least one token.
  bool with_next_top = false;  ///< Also tell the likeliest token after the continuation.
};

/// The prediction of one token. Logarithms are natural.
struct TokenScore {
  double log_probability = 0;  ///< Of the token that stands there.
  std::int64_t top_token = 0;  ///< The likeliest token at this place; the smallest id of equals.
  double top_log_probability = 0;  ///< Its log-probability.
};

/// One score per token of a continuation.
struct ContinuationScore {
  std::vector<TokenScore> tokens;      ///< As many as `continuation` has.
  std::optional<TokenScore> next_top;  ///< With `with_next_top`: of the token behind the end; its
                                       ///< `log_probability` is the likeliest token's.

  /// Summed log-probability of the continuation.
  double log_probability() const {
    double sum = 0;
    for (const TokenScore& token : tokens) sum += token.log_probability;
    return sum;
  }
};

/// How the next token is chosen. The defaults are greedy decoding.
struct Sampling {
  double temperature = 0;  ///< 0: the likeliest token.
  std::int64_t top_k = 0;  ///< Only the k likeliest; 0: all.
  double top_p = 1;        ///< Only the fewest tokens whose probabilities reach this sum.
  std::uint64_t seed = 0;  ///< The same seed and prompt give the same tokens.
};

/// A prompt to be continued.
struct GenerationRequest {
  TokenIds prompt;  ///< At least one token.
  std::int64_t max_new_tokens = 256;
  TokenIds end_tokens;  ///< Generation ends with the first of these, which is kept in the result.
  Sampling sampling;
  /// Called after each new token with all new tokens so far; true ends the generation.
  std::function<bool(const TokenIds&)> stop;
};

/// Why a generation ended.
enum class FinishReason { kStop, kLength };

/// The continuation of a prompt.
struct Generation {
  TokenIds tokens;                 ///< New tokens only.
  std::vector<TokenScore> scores;  ///< Of each new token, before temperature.
  FinishReason finish = FinishReason::kLength;
};

/// How a call runs. Results do not depend on any of it beyond the rounding of sums.
struct ModelRun {
  std::size_t batch_size = 0;  ///< Sequences at once; 0: as many as are quick on the device.
  std::function<void(std::size_t done, std::size_t total)> on_progress;  ///< Requests done.
  const std::atomic<bool>* cancel = nullptr;  ///< When true, the call throws Interrupted.
  /// For the library's own use: what an evaluation with the same lower layers has left.
  model::ActivationMemo* memo = nullptr;
};

/// What evaluation needs of a causal language model. LanguageModel is one; a test may bring its
/// own. Not synchronised: one call at a time.
class CausalModel {
 public:
  virtual ~CausalModel() = default;

  /// Scores in the order of the requests. Sequences longer than `max_length()` are refused with
  /// UsageError: truncation is a decision of the caller.
  virtual std::vector<ContinuationScore> score(const std::vector<ScoringRequest>& requests,
                                               const ModelRun& run) = 0;

  /// Continuations in the order of the requests. A generation also ends, as kLength, when it
  /// reaches `max_length()`. Throws UsageError for prompts longer than that and for sampling that
  /// means nothing, and Error when the model's scores are no numbers.
  virtual std::vector<Generation> generate(const std::vector<GenerationRequest>& requests,
                                           const ModelRun& run) = 0;

  /// Most tokens of one sequence, context and continuation together. One more token may be scored,
  /// since the last is never fed.
  virtual std::int64_t max_length() const = 0;

  /// Size of the vocabulary that ids are checked against.
  virtual std::int64_t vocab_size() const = 0;
};

}  // namespace suture
