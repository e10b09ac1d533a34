#include "evaluate/encoding.h"

#include <algorithm>

#include "suture/error.h"

#include "evaluate/python_text.h"

namespace suture::evaluation {
namespace {

std::size_t cut_left(TokenIds& tokens, std::size_t keep) {
  const std::size_t surplus = tokens.size() > keep ? tokens.size() - keep : 0;
  tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(surplus));
  return surplus;
}

// Behind an empty context the continuation's own BOS, if it has one, is the context.
ScoringRequest behind_nothing(const TextCodec& codec, std::string_view continuation) {
  ScoringRequest request;
  request.continuation = codec.encode(continuation, false);
  request.context = {codec.prefix_token()};
  if (request.continuation.size() > 1 && request.continuation.front() == request.context.front())
    request.continuation.erase(request.continuation.begin());
  return request;
}

}  // namespace

std::int64_t TextCodec::prefix_token() const {
  if (bos) return *bos;
  if (eos) return *eos;
  throw UsageError(
      {{},
       {},
       "the tokenizer names neither a BOS nor an EOS token, and an empty context needs "
       "one of them",
       "'bos_token' or 'eos_token' in tokenizer_config.json",
       {}});
}

EncodedPair encode_pair(const TextCodec& codec, std::string_view context,
                        std::string_view continuation, bool add_special_tokens,
                        std::int64_t max_length, const std::string& place) {
  const std::string_view head = right_stripped(context);
  const std::string tail = std::string(context.substr(head.size())) + std::string(continuation);
  EncodedPair pair;
  if (head.empty()) {
    pair.request = behind_nothing(codec, tail);
  } else {
    const TokenIds whole = codec.encode(std::string(head) + tail, add_special_tokens);
    pair.request.context = codec.encode(head, add_special_tokens);
    const std::size_t begin = std::min(pair.request.context.size(), whole.size());
    pair.request.continuation.assign(whole.begin() + static_cast<std::ptrdiff_t>(begin),
                                     whole.end());
  }
  const auto limit = static_cast<std::size_t>(max_length);
  const std::size_t length = pair.request.continuation.size();
  if (length == 0 || length > limit)
    throw UsageError({place,
                      {},
                      "the continuation '" + printable(continuation) + "' has " +
                          std::to_string(length) + " tokens behind its context",
                      "1 to " + std::to_string(limit) + ", what the model takes at once",
                      {}});
  // The last token is never fed, so one more than the model takes can be scored.
  pair.truncated = cut_left(pair.request.context, limit + 1 - length);
  return pair;
}

std::vector<ScoringRequest> rolling_windows(const TokenIds& tokens, std::int64_t prefix_token,
                                            std::int64_t max_length) {
  const auto limit = static_cast<std::size_t>(max_length);
  const auto slice = [&](std::size_t begin, std::size_t end) {
    return TokenIds(tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                    tokens.begin() + static_cast<std::ptrdiff_t>(end));
  };
  std::vector<ScoringRequest> windows;
  for (std::size_t done = 0; done < tokens.size();) {
    const std::size_t end = std::min(done + limit, tokens.size());
    ScoringRequest window;
    if (done == 0)
      window.context = {prefix_token};
    else
      window.context = slice(end - limit - 1, done);
    window.continuation = slice(done, end);
    windows.push_back(std::move(window));
    done = end;
  }
  return windows;
}

EncodedPair encode_prompt(const TextCodec& codec, std::string_view prompt, bool add_special_tokens,
                          std::int64_t max_new_tokens, std::int64_t max_length,
                          const std::string& place) {
  if (max_new_tokens >= max_length)
    throw UsageError({place,
                      {},
                      std::to_string(max_new_tokens) + " new tokens leave no room for a prompt",
                      "less than " + std::to_string(max_length) + ", what the model takes at once",
                      {}});
  EncodedPair result;
  result.request.context = codec.encode(prompt, add_special_tokens);
  if (result.request.context.empty()) result.request.context = {codec.prefix_token()};
  result.truncated =
      cut_left(result.request.context, static_cast<std::size_t>(max_length - max_new_tokens));
  return result;
}

}  // namespace suture::evaluation
