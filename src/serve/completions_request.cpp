#include "serve/completions_request.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "suture/error.h"

#include "format/json.h"

namespace suture::serve {
namespace {

using format::Json;

constexpr std::size_t kMaxPrompts = 2048;
constexpr std::size_t kMaxStops = 64;

[[noreturn]] void refuse(const std::string& param, const std::string& message) {
  throw RequestError(400, message, param);
}

// The field's value; null and absent are the same.
const Json* find(const Json& fields, const char* name) {
  const auto field = fields.find(name);
  return field == fields.end() || field->is_null() ? nullptr : &*field;
}

std::int64_t whole_number(const Json& value, const std::string& param, std::int64_t first) {
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX);
  if (!fits || value.get<std::int64_t>() < first)
    refuse(param, param + " must be a whole number of at least " + std::to_string(first));
  return value.get<std::int64_t>();
}

double number(const Json& value, const std::string& param, double first, double last) {
  const double read = value.is_number() ? value.get<double>() : NAN;
  if (!(read >= first && read <= last)) {
    refuse(param,
           param + " must be a number from " + Json(first).dump() + " to " + Json(last).dump());
  }
  return read;
}

bool truth(const Json& value, const std::string& param) {
  if (!value.is_boolean()) refuse(param, param + " must be true or false");
  return value.get<bool>();
}

// --- Prompts -------------------------------------------------------------------------------------

TokenIds read_token_ids(const Json& list, const CausalModel& model) {
  TokenIds ids;
  ids.reserve(list.size());
  for (const Json& value : list) {
    const bool known = value.is_number_integer() && value >= 0 && value < model.vocab_size();
    if (!known) {
      refuse("prompt", "the prompt holds " + printable(value.dump().substr(0, 40)) +
                           "; expected token ids from 0 to " +
                           std::to_string(model.vocab_size() - 1));
    }
    ids.push_back(value.get<std::int64_t>());
  }
  return ids;
}

TokenIds read_text(const Json& text, const CausalModel& model, const ServedModel& served) {
  if (!served.text.known())
    refuse("prompt", "the model has no tokenizer that can be used: send token ids");
  TokenIds ids = served.text.encode(text.get_ref<const std::string&>());
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= model.vocab_size())
      refuse("prompt", "the tokenizer gives token " + std::to_string(id) + ", which is outside " +
                           "the model's vocabulary");
  }
  return ids;
}

TokenIds read_prompt(const Json& prompt, const CausalModel& model, const ServedModel& served) {
  if (!prompt.is_string() && !prompt.is_array())
    refuse("prompt", "a prompt must be a string or a list of token ids");
  TokenIds ids =
      prompt.is_string() ? read_text(prompt, model, served) : read_token_ids(prompt, model);
  if (ids.empty()) refuse("prompt", "a prompt must have at least one token");
  if (static_cast<std::int64_t>(ids.size()) > model.max_length()) {
    refuse("prompt", "the prompt has " + std::to_string(ids.size()) +
                         " tokens; the model takes at most " + std::to_string(model.max_length()));
  }
  return ids;
}

// A text, a list of texts, a list of ids or a list of lists of ids.
std::vector<TokenIds> read_prompts(const Json& fields, const CausalModel& model,
                                   const ServedModel& served) {
  const Json* prompt = find(fields, "prompt");
  if (prompt == nullptr) refuse("prompt", "prompt is missing");
  const bool many = prompt->is_array() && !prompt->empty() && !prompt->front().is_number();
  if (!many) return {read_prompt(*prompt, model, served)};
  if (prompt->size() > kMaxPrompts)
    refuse("prompt", "over " + std::to_string(kMaxPrompts) + " prompts in one request");
  std::vector<TokenIds> prompts;
  for (const Json& one : *prompt) prompts.push_back(read_prompt(one, model, served));
  return prompts;
}

// --- The other fields
// ------------------------------------------------------------------------------

std::vector<std::string> read_stop(const Json& fields, const ServedModel& served) {
  const Json* stop = find(fields, "stop");
  if (stop == nullptr) return {};
  const Json list = stop->is_array() ? *stop : Json::array({*stop});
  std::vector<std::string> texts;
  for (const Json& text : list) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty() || list.size() > kMaxStops)
      refuse("stop", "stop must be a text, or a list of at most " + std::to_string(kMaxStops) +
                         " texts, none of them empty");
    texts.push_back(text.get<std::string>());
  }
  if (!texts.empty() && !served.text.known())
    refuse("stop", "the model has no tokenizer that can be used: stop cannot be looked for");
  return texts;
}

Sampling read_sampling(const Json& fields) {
  Sampling sampling;
  sampling.temperature = 1;
  if (const Json* value = find(fields, "temperature"))
    sampling.temperature = number(*value, "temperature", 0, 2);
  if (const Json* value = find(fields, "top_p")) sampling.top_p = number(*value, "top_p", 0, 1);
  if (sampling.top_p == 0) refuse("top_p", "top_p must be over 0");
  if (const Json* value = find(fields, "top_k")) sampling.top_k = whole_number(*value, "top_k", 0);
  if (const Json* value = find(fields, "seed"))
    sampling.seed = static_cast<std::uint64_t>(whole_number(*value, "seed", INT64_MIN));
  return sampling;
}

std::optional<int> read_logprobs(const Json& fields) {
  const Json* value = find(fields, "logprobs");
  if (value == nullptr || *value == false) return std::nullopt;
  const std::int64_t count = whole_number(*value, "logprobs", 0);
  if (count > 1) refuse("logprobs", "logprobs over 1 is not implemented");
  return static_cast<int>(count);
}

void check_model_name(const Json& fields, const ServedModel& served) {
  const Json* name = find(fields, "model");
  if (name == nullptr) return;
  if (!name->is_string()) refuse("model", "model must be a text");
  if (*name == served.name) return;
  throw RequestError(404,
                     "model '" + printable(name->get<std::string>()) +
                         "' is not served here; this is '" + printable(served.name) + "'",
                     "model");
}

// What may stand there as long as it asks for nothing.
bool asks_for_nothing(const std::string& name, const Json& value) {
  if (value.is_null() || name == "user") return true;
  if (name == "n" || name == "best_of") return value == 1;
  if (name == "stream") return value == false;
  if (name == "frequency_penalty" || name == "presence_penalty") return value == 0;
  if (name == "logit_bias") return value.is_object() && value.empty();
  if (name == "suffix") return value == "";
  return false;
}

void refuse_other_fields(const Json& fields) {
  static const std::set<std::string> kRead{"prompt", "model",   "max_tokens", "temperature",
                                           "top_p",  "top_k",   "seed",       "stop",
                                           "echo",   "logprobs"};
  for (const auto& [name, value] : fields.items()) {
    if (kRead.count(name) > 0 || asks_for_nothing(name, value)) continue;
    const std::string shown = printable(name);
    refuse(shown, shown + " with this value is not implemented");
  }
}

Json parse_fields(const std::string& body) {
  try {
    Json fields = format::parse_json(body, "the body");
    if (!fields.is_object()) throw RequestError(400, "the body must be a JSON object");
    return fields;
  } catch (const FormatError& error) {
    throw RequestError(400, error.what());
  }
}

}  // namespace

CompletionsRequest read_completions_request(const std::string& body, const CausalModel& model,
                                            const ServedModel& served) {
  const Json fields = parse_fields(body);
  refuse_other_fields(fields);
  check_model_name(fields, served);
  CompletionsRequest request;
  request.sampling = read_sampling(fields);
  request.logprobs = read_logprobs(fields);
  if (const Json* value = find(fields, "max_tokens"))
    request.max_tokens = whole_number(*value, "max_tokens", 0);
  if (const Json* value = find(fields, "echo")) request.echo = truth(*value, "echo");
  if (request.max_tokens == 0 && !request.echo)
    refuse("max_tokens", "max_tokens 0 without echo asks for nothing");
  request.stop = read_stop(fields, served);
  request.prompts = read_prompts(fields, model, served);
  return request;
}

}  // namespace suture::serve
