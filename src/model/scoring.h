#pragma once

#include <cstddef>
#include <vector>

#include "suture/causal_model.h"

#include "model/decoder.h"

namespace suture::model {

/// Scores continuations, feeding what requests share only once: tokens that all of them begin with,
/// then each context, then its continuations. Results are in the order of the requests, which must
/// have been checked.
///
/// Memory beside the weights: keys and values of one batch, at most `kCacheBytes` unless a single
/// row takes more, once for contexts and once for continuations; activations of `kBatchTokens`
/// tokens; and scores of the vocabulary for `kHeadRows` places.
std::vector<ContinuationScore> score_continuations(Decoder& decoder,
                                                   const std::vector<ScoringRequest>& requests,
                                                   const ModelRun& run);

inline constexpr std::int64_t kCacheBytes = 256 << 20;
inline constexpr std::int64_t kBatchTokens = 1024;
inline constexpr std::int64_t kHeadRows = 128;

/// Tokens that a shared beginning must have to be fed on its own.
inline constexpr std::size_t kSharedTokens = 16;

/// Length of the longest common beginning.
std::size_t common_prefix(const TokenIds& a, const TokenIds& b);

/// A token whose prediction is asked, by the row of scores that predicts it. -1: the likeliest.
struct AskedToken {
  std::int64_t state, token;
};

/// The predictions of `asked` from scores of the vocabulary, f32 [states, vocab_size].
std::vector<TokenScore> score_logits(const at::Tensor& logits,
                                     const std::vector<AskedToken>& asked);

/// Feeds one sequence alone and gives its cache: a beginning for others.
KeyValueCache feed_prefix(Decoder& decoder, const TokenIds& sequence, std::size_t length,
                          ActivationMemo* memo);

/// Token ids of rows of different lengths, padded at the end: int64 [rows, longest].
at::Tensor padded_rows(const std::vector<TokenIds>& rows);

/// Throws Interrupted when the caller wants the run to stop.
void check_cancelled(const ModelRun& run);

}  // namespace suture::model
