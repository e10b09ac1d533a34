#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "suture/causal_model.h"
#include "suture/evaluation.h"

namespace suture::evaluation {

/// What evaluation asks of a tokenizer; tests bring a small one.
struct TextCodec {
  std::function<TokenIds(std::string_view text, bool add_special_tokens)> encode;
  std::function<std::string(const TokenIds& ids, bool skip_special_tokens)> decode;
  std::optional<std::int64_t> bos, eos;

  /// The token that stands for an empty text: BOS, else EOS. Throws UsageError when there is none.
  std::int64_t prefix_token() const;
};

/// The codec of a tokenizer, which must outlive it. Ids without a token, which a padded vocabulary
/// has, decode to nothing.
TextCodec codec_of(const Tokenizer& tokenizer);

/// `suture::evaluate` with any codec.
Evaluation evaluate(CausalModel& model, const TextCodec& codec, const Task& task,
                    const EvaluationOptions& options);

}  // namespace suture::evaluation
