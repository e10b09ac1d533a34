#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evaluate/text_codec.h"

namespace suture::evaluation {

/// A context and what is scored behind it, as token ids that the model can take.
struct EncodedPair {
  ScoringRequest request;
  std::size_t truncated = 0;  ///< Tokens cut off the context's left end.
};

/// The pair as one text, split where the context's own tokens end. White space at the context's end
/// is scored with the continuation, where tokenizers put it. An empty context is the prefix token.
/// Throws UsageError, with `place` as the file, for a continuation that is longer than `max_length`
/// or has no token of its own.
EncodedPair encode_pair(const TextCodec& codec, std::string_view context,
                        std::string_view continuation, bool add_special_tokens,
                        std::int64_t max_length, const std::string& place);

/// A text in windows of at most `max_length` tokens: each token is scored once, the first behind
/// the prefix token, and the last window reaches back to be full.
std::vector<ScoringRequest> rolling_windows(const TokenIds& tokens, std::int64_t prefix_token,
                                            std::int64_t max_length);

/// A prompt cut at its left end so that `max_new_tokens` fit behind it. Throws UsageError when they
/// leave no room for it.
EncodedPair encode_prompt(const TextCodec& codec, std::string_view prompt, bool add_special_tokens,
                          std::int64_t max_new_tokens, std::int64_t max_length,
                          const std::string& place);

}  // namespace suture::evaluation
