#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>

#include "suture/causal_model.h"

#include "serve/http_server.h"

namespace suture::serve {

/// How text becomes token ids and back. Empty functions: there is no tokenizer, prompts must be
/// token ids, and text is written as `token_id:7token_id:11`.
struct TextCodec {
  std::function<TokenIds(std::string_view)> encode;        ///< Adds no special tokens.
  std::function<std::string(const TokenIds&)> decode;      ///< Leaves special tokens out.
  std::function<std::string(std::int64_t)> text_of_token;  ///< Special tokens too.

  bool known() const { return static_cast<bool>(decode); }
};

/// What is served, beside the model itself.
struct ServedModel {
  std::string name;          ///< As `GET /v1/models` tells it.
  std::int64_t created = 0;  ///< Seconds since 1970.
  TokenIds end_tokens;       ///< Generation ends with them; they are not part of the text.
  TextCodec text;
};

/// A request that is refused: status, message and the field at fault.
class RequestError : public std::runtime_error {
 public:
  RequestError(int status, const std::string& message, std::string param = {})
      : std::runtime_error(message), status_(status), param_(std::move(param)) {}
  int status() const { return status_; }
  const std::string& param() const { return param_; }

 private:
  int status_;
  std::string param_;
};

/// Answers one `POST /v1/completions` as the OpenAI API does, and what lm-evaluation-harness's
/// `local-completions` reads of it: body in, body out. Throws RequestError for a request that is
/// not understood whole, and what the model throws.
std::string complete(const std::string& body, CausalModel& model, const ServedModel& served,
                     const ModelRun& run);

/// `/v1/completions`, `/v1/models` and `/health` over one model, which is asked one request at a
/// time. Safe to call from several threads.
class CompletionsEndpoint {
 public:
  /// All three must outlive the endpoint; `run` holds for every call.
  CompletionsEndpoint(CausalModel& model, const ServedModel& served, const ModelRun& run)
      : model_(model), served_(served), run_(run) {}

  HttpResponse operator()(const HttpRequest& request);

 private:
  HttpResponse complete_one(const HttpRequest& request);

  CausalModel& model_;
  const ServedModel& served_;
  const ModelRun& run_;
  std::mutex one_at_a_time_;
};

}  // namespace suture::serve
