#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "suture/error.h"

#include "evaluate/text_codec.h"

namespace suture::test {

/// A byte is a token; 256 ends a text.
constexpr std::int64_t kEndToken = 256;

inline TokenIds bytes_as_tokens(std::string_view text) {
  TokenIds ids;
  for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  return ids;
}

inline std::string tokens_as_bytes(const TokenIds& ids, bool skip_end) {
  std::string text;
  for (const std::int64_t id : ids) {
    if (id != kEndToken) text += static_cast<char>(id);
    if (id == kEndToken && !skip_end) text += "<|end|>";
  }
  return text;
}

inline evaluation::TextCodec byte_codec() {
  evaluation::TextCodec codec;
  codec.encode = [](std::string_view text, bool special) {
    TokenIds ids = bytes_as_tokens(text);
    if (special) ids.insert(ids.begin(), kEndToken);
    return ids;
  };
  codec.decode = tokens_as_bytes;
  codec.eos = kEndToken;
  return codec;
}

/// A model whose scores are a formula that Python can repeat: the token before and the number of
/// tokens before decide. It writes what `completions` holds for a prompt.
class PseudoModel : public CausalModel {
 public:
  explicit PseudoModel(std::int64_t max_length = 64) : max_length_(max_length) {}

  static double log_probability(std::int64_t before, std::int64_t token, std::size_t position) {
    return -static_cast<double>(
               (before * 31 + token * 17 + static_cast<std::int64_t>(position)) % 97 + 1) /
           8;
  }

  std::vector<ContinuationScore> score(const std::vector<ScoringRequest>& requests,
                                       const ModelRun&) override {
    std::vector<ContinuationScore> scores;
    for (const ScoringRequest& request : requests) {
      scored.push_back(request);
      TokenIds tokens = request.context;
      ContinuationScore score;
      for (const std::int64_t token : request.continuation) {
        TokenScore one;
        one.log_probability = log_probability(tokens.back(), token, tokens.size());
        one.top_log_probability = -1.0 / 8;
        score.tokens.push_back(one);
        tokens.push_back(token);
      }
      scores.push_back(std::move(score));
    }
    return scores;
  }

  std::vector<Generation> generate(const std::vector<GenerationRequest>& requests,
                                   const ModelRun&) override {
    std::vector<Generation> generations;
    for (const GenerationRequest& request : requests) {
      Generation generation;
      TokenIds text = bytes_as_tokens(completions[tokens_as_bytes(request.prompt, true)]);
      text.push_back(kEndToken);
      for (const std::int64_t token : text) {
        generation.tokens.push_back(token);
        TokenScore score;
        if (broken) score.log_probability = std::nan("");
        generation.scores.push_back(score);
        const bool end =
            std::count(request.end_tokens.begin(), request.end_tokens.end(), token) > 0;
        if (end || (request.stop && request.stop(generation.tokens))) {
          generation.finish = FinishReason::kStop;
          break;
        }
        if (static_cast<std::int64_t>(generation.tokens.size()) == request.max_new_tokens) break;
      }
      generations.push_back(std::move(generation));
    }
    return generations;
  }

  std::int64_t max_length() const override { return max_length_; }
  std::int64_t vocab_size() const override { return kEndToken + 1; }

  std::map<std::string, std::string> completions;
  std::vector<ScoringRequest> scored;
  bool broken = false;  ///< Writes with scores that are no numbers.

 private:
  std::int64_t max_length_;
};

}  // namespace suture::test
