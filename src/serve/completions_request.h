#pragma once

#include <optional>
#include <string>
#include <vector>

#include "serve/completions.h"

namespace suture::serve {

/// One request for completions, checked against the model.
struct CompletionsRequest {
  std::vector<TokenIds> prompts;  ///< Each of 1 to `max_length` known tokens.
  std::int64_t max_tokens = 16;
  Sampling sampling;
  std::vector<std::string> stop;
  TokenIds end_tokens;  ///< The model's, and stops that are special tokens.
  bool echo = false;
  std::optional<int> logprobs;  ///< 0 or 1.
};

/// Reads a body. Unknown fields are refused, since they might change the result. Throws
/// RequestError with 400, or 404 for another model's name.
CompletionsRequest read_completions_request(const std::string& body, const CausalModel& model,
                                            const ServedModel& served);

}  // namespace suture::serve
