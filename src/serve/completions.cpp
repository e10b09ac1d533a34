#include "serve/completions.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "suture/error.h"

#include "format/json.h"
#include "serve/completions_request.h"

namespace suture::serve {
namespace {

using format::Json;

// What the OpenAI API writes for a probability of zero; JSON has no infinity.
constexpr double kLogOfZero = -9999;

// What the model says of one prompt.
struct Answer {
  std::vector<TokenScore> prompt;  // of all tokens but the first, when asked for
  Generation generation;
};

bool is_one_of(const TokenIds& ids, std::int64_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// --- Text
// ------------------------------------------------------------------------------------------

// A token that is only a part of a character has no text of its own.
std::string label_of(std::int64_t id, const TextCodec& codec) {
  const std::string number = "token_id:" + std::to_string(id);
  if (!codec.known()) return number;
  const std::string text = codec.text_of_token(id);
  return text.empty() || text.find("\xEF\xBF\xBD") != std::string::npos ? number : text;
}

std::string text_of(const TokenIds& ids, const TextCodec& codec) {
  if (codec.known()) return codec.decode(ids);
  std::string text;
  for (const std::int64_t id : ids) text += label_of(id, codec);
  return text;
}

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// Where the first of `stops` begins; npos when there is none.
std::size_t find_stop(const std::string& text, const std::vector<std::string>& stops) {
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops) first = std::min(first, text.find(stop));
  return first;
}

// Special tokens are not in the text: a stop that is one of them ends the generation as a token.
TokenIds end_tokens_of(const CompletionsRequest& request, const ServedModel& served) {
  TokenIds ends = served.end_tokens;
  for (const std::string& stop : request.stop) {
    const TokenIds ids = served.text.encode(stop);
    if (ids.size() == 1 && served.text.decode(ids).empty()) ends.push_back(ids.front());
  }
  return ends;
}

// --- Asking the model --------------------------------------------------------------------------

constexpr std::uint64_t kSeedStep = 0x9E3779B97F4A7C15;

GenerationRequest generation_of(std::size_t index, const CompletionsRequest& request,
                                const ServedModel& served) {
  GenerationRequest asked;
  asked.prompt = request.prompts[index];
  asked.max_new_tokens = request.max_tokens;
  asked.end_tokens = request.end_tokens;
  asked.sampling = request.sampling;
  asked.sampling.seed += index * kSeedStep;  // equal prompts are to give different samples
  if (!request.stop.empty()) {
    asked.stop = [&request, &served](const TokenIds& tokens) {
      return find_stop(text_of(tokens, served.text), request.stop) != std::string::npos;
    };
  }
  return asked;
}

// One pass over a prompt gives the scores of its tokens, and the likeliest token behind it: what
// lm-evaluation-harness asks for.
bool one_pass_will_do(const CompletionsRequest& request) {
  const bool greedy = request.sampling.temperature == 0;
  const bool scorable = std::all_of(request.prompts.begin(), request.prompts.end(),
                                    [](const TokenIds& prompt) { return prompt.size() > 1; });
  return request.echo && request.logprobs && request.max_tokens == 1 && greedy && scorable;
}

// Scores of the prompts' tokens. A prompt of one token has none to score.
void score_prompts(const CompletionsRequest& request, bool with_next_top, CausalModel& model,
                   const ModelRun& run, std::vector<Answer>& answers) {
  std::vector<ScoringRequest> asked;
  std::vector<std::size_t> prompt_of;
  for (std::size_t i = 0; i < request.prompts.size(); ++i) {
    const TokenIds& prompt = request.prompts[i];
    if (prompt.size() < 2) continue;
    asked.push_back({{prompt.front()}, {prompt.begin() + 1, prompt.end()}, with_next_top});
    prompt_of.push_back(i);
  }
  if (asked.empty()) return;
  std::vector<ContinuationScore> scores = model.score(asked, run);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    Answer& answer = answers[prompt_of[i]];
    answer.prompt = std::move(scores[i].tokens);
    if (const auto& next = scores[i].next_top) {
      answer.generation.tokens = {next->top_token};
      answer.generation.scores = {*next};
    }
  }
}

// Also where no logprobs are told: text drawn from such scores means nothing.
void refuse_nan(const Generation& generation) {
  for (const TokenScore& score : generation.scores)
    if (std::isnan(score.log_probability) || std::isnan(score.top_log_probability))
      throw RequestError(500, "the model's scores are not numbers: its weights may hold NaN");
}

void generate(const CompletionsRequest& request, const ServedModel& served, CausalModel& model,
              const ModelRun& run, std::vector<Answer>& answers) {
  std::vector<GenerationRequest> asked;
  for (std::size_t i = 0; i < request.prompts.size(); ++i)
    asked.push_back(generation_of(i, request, served));
  std::vector<Generation> generations = model.generate(asked, run);
  for (std::size_t i = 0; i < answers.size(); ++i)
    answers[i].generation = std::move(generations[i]);
}

std::vector<Answer> ask(const CompletionsRequest& request, const ServedModel& served,
                        CausalModel& model, const ModelRun& run) {
  std::vector<Answer> answers(request.prompts.size());
  const bool one_pass = one_pass_will_do(request);
  if (request.echo && request.logprobs) score_prompts(request, one_pass, model, run, answers);
  if (request.max_tokens > 0 && !one_pass) generate(request, served, model, run, answers);
  for (const Answer& answer : answers) refuse_nan(answer.generation);
  return answers;
}

// --- Writing the answer
// --------------------------------------------------------------------------------

double finite(double log_probability) {
  if (std::isnan(log_probability))
    throw RequestError(500, "the model's scores are not numbers: its weights may hold NaN");
  return std::max(log_probability, kLogOfZero);
}

// The lists of `logprobs`, token by token.
class TokenList {
 public:
  TokenList(const TextCodec& codec, bool with_top) : codec_(codec), with_top_(with_top) {}

  // A token without a score: nothing stands before it.
  void add(std::int64_t id) { append(id, nullptr, nullptr); }

  void add(std::int64_t id, const TokenScore& score) {
    const double top = finite(score.top_log_probability);
    // A client tells a greedy token by the equality of the two numbers.
    const double own = id == score.top_token ? top : finite(score.log_probability);
    std::map<std::string, double> tops{{label_of(score.top_token, codec_), top}};
    tops.emplace(label_of(id, codec_), own);
    append(id, own, tops);
  }

  Json json() const {
    return {{"tokens", tokens_},
            {"token_logprobs", scores_},
            {"top_logprobs", with_top_ ? tops_ : Json()},
            {"text_offset", offsets_}};
  }

 private:
  void append(std::int64_t id, const Json& score, const Json& tops) {
    const std::string label = label_of(id, codec_);
    offsets_.push_back(offset_);
    offset_ += characters(label);
    tokens_.push_back(label);
    scores_.push_back(score);
    tops_.push_back(tops);
  }

  const TextCodec& codec_;
  bool with_top_;
  std::size_t offset_ = 0;
  Json tokens_ = Json::array(), scores_ = Json::array(), tops_ = Json::array(),
       offsets_ = Json::array();
};

// All tokens are told, those too that are not in the text: an end token, and what a stop cut off.
Json logprobs_of(const TokenIds& prompt, const Answer& answer, const CompletionsRequest& request,
                 const ServedModel& served) {
  if (!request.logprobs) return nullptr;
  TokenList list(served.text, *request.logprobs > 0);
  if (request.echo) {
    list.add(prompt.front());
    for (std::size_t i = 1; i < prompt.size(); ++i) list.add(prompt[i], answer.prompt[i - 1]);
  }
  for (std::size_t i = 0; i < answer.generation.tokens.size(); ++i)
    list.add(answer.generation.tokens[i], answer.generation.scores[i]);
  return list.json();
}

// The new text and whether a stop or an end token ended it.
std::pair<std::string, bool> text_of_generation(const Generation& generation,
                                                const CompletionsRequest& request,
                                                const ServedModel& served) {
  TokenIds tokens = generation.tokens;
  const bool ended = !tokens.empty() && is_one_of(request.end_tokens, tokens.back());
  if (ended) tokens.pop_back();
  std::string text = text_of(tokens, served.text);
  const std::size_t stop = find_stop(text, request.stop);
  if (stop != std::string::npos) text.resize(stop);
  return {std::move(text), ended || stop != std::string::npos};
}

Json choice_of(std::size_t index, const Answer& answer, const CompletionsRequest& request,
               const ServedModel& served) {
  const TokenIds& prompt = request.prompts[index];
  auto [text, stopped] = text_of_generation(answer.generation, request, served);
  if (request.echo) text = text_of(prompt, served.text) + text;
  return {{"index", index},
          {"text", text},
          {"logprobs", logprobs_of(prompt, answer, request, served)},
          {"finish_reason", stopped ? "stop" : "length"}};
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json models_of(const ServedModel& served) {
  const Json model{{"id", served.name},
                   {"object", "model"},
                   {"created", served.created},
                   {"owned_by", "suture"}};
  return {{"object", "list"}, {"data", Json::array({model})}};
}

HttpResponse allowed_only(const std::string& method) {
  HttpResponse response = error_response(405, "the method here is " + method);
  response.headers["Allow"] = method;
  return response;
}

}  // namespace

std::string complete(const std::string& body, CausalModel& model, const ServedModel& served,
                     const ModelRun& run) {
  CompletionsRequest request = read_completions_request(body, model, served);
  request.end_tokens = end_tokens_of(request, served);
  const std::vector<Answer> answers = ask(request, served, model, run);
  Json choices = Json::array();
  std::size_t prompt_tokens = 0, new_tokens = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    choices.push_back(choice_of(i, answers[i], request, served));
    prompt_tokens += request.prompts[i].size();
    new_tokens += answers[i].generation.tokens.size();
  }
  return dump({{"id", "cmpl-suture"},
               {"object", "text_completion"},
               {"created", served.created},
               {"model", served.name},
               {"choices", choices},
               {"usage",
                {{"prompt_tokens", prompt_tokens},
                 {"completion_tokens", new_tokens},
                 {"total_tokens", prompt_tokens + new_tokens}}}});
}

HttpResponse CompletionsEndpoint::complete_one(const HttpRequest& request) {
  try {
    const std::lock_guard lock(one_at_a_time_);
    HttpResponse response;
    response.body = complete(request.body, model_, served_, run_);
    return response;
  } catch (const RequestError& error) {
    return error_response(error.status(), error.what(), error.param());
  } catch (const UsageError& error) {
    return error_response(400, error.what());
  } catch (const Interrupted&) {
    return error_response(503, "the server is ending");
  }
}

HttpResponse CompletionsEndpoint::operator()(const HttpRequest& request) {
  const bool get = request.method == "GET" || request.method == "HEAD";
  HttpResponse response;
  if (request.path == "/v1/completions")
    return request.method == "POST" ? complete_one(request) : allowed_only("POST");
  if (request.path == "/v1/models") {
    response.body = dump(models_of(served_));
  } else if (request.path == "/health") {
    response.body = dump({{"status", "ok"}});
  } else {
    return error_response(404, "no " + printable(request.path) +
                                   " here; there are /v1/completions, /v1/models and /health");
  }
  return get ? response : allowed_only("GET");
}

}  // namespace suture::serve
