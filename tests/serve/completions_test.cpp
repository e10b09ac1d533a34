#include "serve/completions.h"

#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "format/json.h"
#include "support/fake_model.h"

namespace suture::serve {
namespace {

using format::Json;
using test::FakeModel;

// Token 0 is special and written `<end>`; token i is the i-th letter from `a`, and 27 is half of a
// character.
std::string letter(std::int64_t id) {
  if (id == 0) return "<end>";
  return id == 27 ? "\xEF\xBF\xBD" : std::string(1, static_cast<char>('a' + id - 1));
}

TextCodec letters() {
  TextCodec codec;
  codec.encode = [](std::string_view text) {
    if (text == "<end>") return TokenIds{0};
    TokenIds ids;
    for (const char c : text) ids.push_back(c - 'a' + 1);
    return ids;
  };
  codec.decode = [](const TokenIds& ids) {
    std::string text;
    for (const std::int64_t id : ids) text += id == 0 ? "" : letter(id);
    return text;
  };
  codec.text_of_token = letter;
  return codec;
}

class Completions : public ::testing::Test {
 protected:
  Json answer(const Json& request) {
    return Json::parse(complete(request.dump(), model, served, {}));
  }

  // Status, message and field of the refusal of `body`.
  struct Refusal {
    int status = 0;
    std::string message, param;
  };
  Refusal refusal(const std::string& body) {
    try {
      complete(body, model, served, {});
      return {};
    } catch (const RequestError& error) {
      return {error.status(), error.what(), error.param()};
    }
  }
  Refusal refusal(const Json& request) { return refusal(request.dump()); }

  void expect_refused(const Json& fields, const std::string& param) {
    Json request{{"prompt", {1, 2}}};
    request.update(fields);
    const Refusal refused = refusal(request);
    EXPECT_EQ(refused.status, 400) << request;
    EXPECT_EQ(refused.param, param) << request;
  }

  // What the model says by itself: greedy tokens behind `prompt`.
  TokenIds greedy(TokenIds prompt, std::size_t count) const {
    TokenIds made;
    while (made.size() < count) {
      made.push_back(model.top(prompt));
      prompt.push_back(made.back());
    }
    return made;
  }

  FakeModel model{28, 40};
  ServedModel served{"fake", 7, {}, letters()};
  const Json harness_{{"model", "fake"}, {"temperature", 0}, {"max_tokens", 1},
                      {"logprobs", 1},   {"seed", 1234},     {"echo", true}};
};

// --- Scores --------------------------------------------------------------------------------------

TEST_F(Completions, EchoScoresEveryPromptTokenButTheFirstInOnePass) {
  Json request = harness_;
  const std::vector<TokenIds> prompts{{3, 1, 4, 1, 5}, {9, 2}};
  request["prompt"] = prompts;
  const Json choices = answer(request).at("choices");
  EXPECT_EQ(model.score_calls, 1);
  EXPECT_EQ(model.generate_calls, 0);
  ASSERT_EQ(choices.size(), 2u);
  for (std::size_t row = 0; row < 2; ++row) {
    const TokenIds& prompt = prompts[row];
    EXPECT_EQ(choices[row].at("index"), row);
    const Json& logprobs = choices[row].at("logprobs");
    ASSERT_EQ(logprobs.at("token_logprobs").size(), prompt.size() + 1);
    EXPECT_TRUE(logprobs.at("token_logprobs")[0].is_null());
    EXPECT_TRUE(logprobs.at("top_logprobs")[0].is_null());
    for (std::size_t i = 1; i < prompt.size(); ++i) {
      const TokenIds before(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(i));
      const auto logs = model.log_probabilities(before);
      EXPECT_EQ(logprobs.at("token_logprobs")[i].get<double>(),
                logs[static_cast<std::size_t>(prompt[i])]);
      const auto best = static_cast<std::size_t>(model.top(before));
      EXPECT_EQ(logprobs.at("top_logprobs")[i].size(), model.top(before) == prompt[i] ? 1u : 2u);
      double largest = -1e300;
      for (const auto& [text, value] : logprobs.at("top_logprobs")[i].items())
        largest = std::max(largest, value.get<double>());
      EXPECT_EQ(largest, logs[best]);
    }
  }
}

TEST_F(Completions, GreedyTokensAreToldByEqualNumbers) {
  const TokenIds prompt{5};
  TokenIds greedy_prompt = prompt;
  for (const std::int64_t id : greedy(prompt, 3)) greedy_prompt.push_back(id);
  Json request = harness_;
  request["prompt"] = greedy_prompt;
  const Json logprobs = answer(request).at("choices")[0].at("logprobs");
  for (std::size_t i = 1; i < greedy_prompt.size(); ++i) {
    const Json& tops = logprobs.at("top_logprobs")[i];
    ASSERT_EQ(tops.size(), 1u);
    EXPECT_EQ(tops.begin().value(), logprobs.at("token_logprobs")[i]);
  }
}

TEST_F(Completions, APromptOfOneTokenHasNothingToScore) {
  Json request = harness_;
  request["prompt"] = {7};
  const Json logprobs = answer(request).at("choices")[0].at("logprobs");
  ASSERT_EQ(logprobs.at("token_logprobs").size(), 2u);
  EXPECT_TRUE(logprobs.at("token_logprobs")[0].is_null());
  EXPECT_TRUE(logprobs.at("token_logprobs")[1].is_number());
}

TEST_F(Completions, AnEndTokenKeepsItsPlaceInTheListsOfEcho) {
  const TokenIds prompt{5, 6};
  served.end_tokens = {model.top(prompt)};
  Json request = harness_;
  request["prompt"] = prompt;
  const Json choice = answer(request).at("choices")[0];
  EXPECT_EQ(choice.at("text"), "ef");
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_EQ(choice.at("logprobs").at("token_logprobs").size(), 3u);
}

TEST_F(Completions, ScoresOnlyWithMaxTokensZero) {
  const Json body =
      answer({{"prompt", {1, 2, 3}}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 0}});
  const Json& logprobs = body.at("choices")[0].at("logprobs");
  EXPECT_EQ(logprobs.at("token_logprobs").size(), 3u);
  EXPECT_TRUE(logprobs.at("top_logprobs").is_null());
  EXPECT_EQ(model.generate_calls, 0);
  EXPECT_EQ(body.at("usage").at("prompt_tokens"), 3);
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 0);
}

TEST_F(Completions, NumbersSurviveTheRoundTrip) {
  Json request = harness_;
  request["prompt"] = {3, 9};
  const double sent = answer(request).at("choices")[0].at("logprobs").at("token_logprobs")[1];
  EXPECT_EQ(sent, model.log_probabilities({3})[9]);
}

TEST_F(Completions, TokensAreTextWithOffsetsAndFragmentsAreNumbers) {
  Json request = harness_;
  request["prompt"] = {1, 27, 2};
  const Json logprobs = answer(request).at("choices")[0].at("logprobs");
  EXPECT_EQ(logprobs.at("tokens")[0], "a");
  EXPECT_EQ(logprobs.at("tokens")[1], "token_id:27");
  EXPECT_EQ(logprobs.at("tokens")[2], "b");
  EXPECT_EQ(logprobs.at("text_offset"), Json({0, 1, 12, 13}));
}

TEST_F(Completions, ProbabilitiesOfZeroAndNotANumberAreNoJsonNumbers) {
  class Broken : public FakeModel {
   public:
    explicit Broken(double value) : value_(value) {}
    std::vector<ContinuationScore> score(const std::vector<ScoringRequest>& requests,
                                         const ModelRun& run) override {
      auto scores = FakeModel::score(requests, run);
      for (auto& token : scores[0].tokens) token.log_probability = value_;
      return scores;
    }
    double value_;
  };
  Json request = harness_;
  request["prompt"] = {3, 9};
  Broken minus(-std::numeric_limits<double>::infinity());
  const Json body = Json::parse(complete(request.dump(), minus, served, {}));
  EXPECT_EQ(body.at("choices")[0].at("logprobs").at("token_logprobs")[1], -9999);
  Broken nan(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THROW(complete(request.dump(), nan, served, {}), RequestError);
}

// --- Generation
// ------------------------------------------------------------------------------------

TEST_F(Completions, ContinuesATextAndCounts) {
  const Json body = answer({{"prompt", "ab"}, {"max_tokens", 3}, {"temperature", 0}});
  EXPECT_EQ(body.at("object"), "text_completion");
  EXPECT_EQ(body.at("model"), "fake");
  const Json& choice = body.at("choices")[0];
  EXPECT_EQ(choice.at("text"), served.text.decode(greedy({1, 2}, 3)));
  EXPECT_EQ(choice.at("finish_reason"), "length");
  EXPECT_TRUE(choice.at("logprobs").is_null());
  EXPECT_EQ(body.at("usage"),
            Json({{"prompt_tokens", 2}, {"completion_tokens", 3}, {"total_tokens", 5}}));
}

TEST_F(Completions, AllPromptsGoIntoOneCall) {
  const Json body = answer({{"prompt", {"ab", "c"}}, {"max_tokens", 2}, {"temperature", 0}});
  EXPECT_EQ(model.generate_calls, 1);
  ASSERT_EQ(body.at("choices").size(), 2u);
  EXPECT_EQ(body.at("choices")[1].at("text"), served.text.decode(greedy({3}, 2)));
}

TEST_F(Completions, TextEndsBeforeTheFirstStop) {
  const std::string text = served.text.decode(greedy({1, 2}, 6));
  const Json body = answer({{"prompt", "ab"},
                            {"max_tokens", 6},
                            {"temperature", 0},
                            {"stop", {"never", text.substr(3, 2), text.substr(2, 2)}}});
  const Json& choice = body.at("choices")[0];
  EXPECT_EQ(choice.at("text"), text.substr(0, text.find(text.substr(2, 2))));
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_LT(body.at("usage").at("completion_tokens"), 6);
}

TEST_F(Completions, AStopMayBeASpecialToken) {
  answer({{"prompt", "ab"}, {"stop", {"<end>", "c"}}});
  EXPECT_EQ(model.last_generation.at(0).end_tokens, TokenIds{0});
}

TEST_F(Completions, EndTokensAreNotText) {
  const TokenIds tokens = greedy({1, 2}, 3);
  served.end_tokens = {tokens[2]};
  const Json choice = answer({{"prompt", "ab"}, {"temperature", 0}}).at("choices")[0];
  const auto first = std::find(tokens.begin(), tokens.end(), tokens[2]);
  EXPECT_EQ(choice.at("text"), served.text.decode({tokens.begin(), first}));
  EXPECT_EQ(choice.at("finish_reason"), "stop");
}

TEST_F(Completions, SamplingIsPassedOnWithTheApisDefaults) {
  answer({{"prompt", "ab"}});
  EXPECT_EQ(model.last_generation.at(0).max_new_tokens, 16);
  EXPECT_EQ(model.last_generation.at(0).sampling.temperature, 1);
  answer({{"prompt", "ab"}, {"temperature", 0.5}, {"top_p", 0.9}, {"top_k", 3}, {"seed", 11}});
  const Sampling& sampling = model.last_generation.at(0).sampling;
  EXPECT_EQ(sampling.temperature, 0.5);
  EXPECT_EQ(sampling.top_p, 0.9);
  EXPECT_EQ(sampling.top_k, 3);
  EXPECT_EQ(sampling.seed, 11u);
}

TEST_F(Completions, EqualPromptsDrawFromSeedsOfTheirOwn) {
  answer({{"prompt", {"ab", "ab"}}, {"temperature", 1}});
  EXPECT_NE(model.last_generation.at(0).sampling.seed, model.last_generation.at(1).sampling.seed);
}

TEST_F(Completions, EchoPutsThePromptBeforeTheText) {
  const Json choice =
      answer({{"prompt", "ab"}, {"echo", true}, {"max_tokens", 2}, {"temperature", 0}})
          .at("choices")[0];
  EXPECT_EQ(choice.at("text"), "ab" + served.text.decode(greedy({1, 2}, 2)));
  EXPECT_EQ(model.score_calls, 0);
}

TEST_F(Completions, WithoutATokenizerTokensAreNumbers) {
  served.text = {};
  const Json body = answer({{"prompt", {1, 2}}, {"max_tokens", 1}, {"temperature", 0}});
  EXPECT_EQ(body.at("choices")[0].at("text"), "token_id:" + std::to_string(model.top({1, 2})));
  EXPECT_EQ(refusal(Json{{"prompt", "ab"}}).param, "prompt");
  EXPECT_EQ(refusal(Json{{"prompt", {1}}, {"stop", "x"}}).param, "stop");
}

// --- Refusals
// --------------------------------------------------------------------------------------

TEST_F(Completions, WhatStandsForTheDefaultsIsTaken) {
  const Json body = answer({{"prompt", {1}},
                            {"n", 1},
                            {"stream", false},
                            {"best_of", 1},
                            {"user", "someone"},
                            {"frequency_penalty", 0},
                            {"presence_penalty", 0.0},
                            {"logit_bias", Json::object()},
                            {"stop", nullptr},
                            {"suffix", nullptr},
                            {"logprobs", nullptr}});
  EXPECT_EQ(body.at("choices").size(), 1u);
}

TEST_F(Completions, RefusesByNameWhatItDoesNotDo) {
  expect_refused({{"n", 2}}, "n");
  expect_refused({{"stream", true}}, "stream");
  expect_refused({{"best_of", 3}}, "best_of");
  expect_refused({{"logprobs", 5}}, "logprobs");
  expect_refused({{"presence_penalty", 0.5}}, "presence_penalty");
  expect_refused({{"logit_bias", {{"5", 3}}}}, "logit_bias");
  expect_refused({{"min_p", 0.1}}, "min_p");
  expect_refused({{"echo", 1}}, "echo");
  expect_refused({{"max_tokens", -1}}, "max_tokens");
  expect_refused({{"max_tokens", 0}}, "max_tokens");
  expect_refused({{"max_tokens", 1.5}}, "max_tokens");
  expect_refused({{"temperature", -0.1}}, "temperature");
  expect_refused({{"temperature", "0"}}, "temperature");
  expect_refused({{"top_p", 0}}, "top_p");
  expect_refused({{"top_p", 1.01}}, "top_p");
  expect_refused({{"seed", 0.5}}, "seed");
  expect_refused({{"stop", ""}}, "stop");
  expect_refused({{"stop", {"a", 1}}}, "stop");
  expect_refused({{"model", 3}}, "model");
}

TEST_F(Completions, RefusesPromptsThatAreNone) {
  for (const Json& prompt :
       {Json(nullptr), Json(""), Json::array(), Json(5), Json(true), Json({{"a", 1}}),
        Json::array({Json::array()}), Json({1, "a"}), Json({1, {2}}), Json::array({{1}, 2}),
        Json({1, -1}), Json({1, 28}), Json({1, 1.0}), Json({1, UINT64_MAX}), Json({1, INT64_MIN}),
        Json({1, true}), Json({1, nullptr}), Json({{{1}}}), Json(TokenIds(41, 1))}) {
    expect_refused({{"prompt", prompt}}, "prompt");
  }
  EXPECT_EQ(refusal(Json{{"max_tokens", 1}}).param, "prompt");
  EXPECT_EQ(refusal(Json{{"prompt", std::vector<TokenIds>(2049, {1})}}).param, "prompt");
}

TEST_F(Completions, APromptMayBeAsLongAsTheModelTakes) {
  Json request = harness_;
  request["prompt"] = TokenIds(40, 1);
  EXPECT_EQ(answer(request).at("choices")[0].at("logprobs").at("tokens").size(), 41u);
  request["prompt"] = TokenIds(41, 1);
  EXPECT_NE(refusal(request).message.find("at most 40"), std::string::npos);
}

TEST_F(Completions, AHugeCountOfTokensEndsWithTheModelsLength) {
  const Json body = answer({{"prompt", {1, 2}}, {"max_tokens", 1000000000}, {"temperature", 0}});
  EXPECT_EQ(body.at("choices")[0].at("finish_reason"), "length");
  EXPECT_LE(body.at("usage").at("completion_tokens"), 39);
}

TEST_F(Completions, AnotherModelIsNotHere) {
  const Refusal refused = refusal(Json{{"prompt", {1}}, {"model", "gpt-4"}});
  EXPECT_EQ(refused.status, 404);
  EXPECT_NE(refused.message.find("gpt-4"), std::string::npos);
}

TEST_F(Completions, RefusesBodiesThatAreNoJsonObject) {
  const std::string deep = "{\"prompt\":" + std::string(100'000, '[') + "}";
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("7"), std::string("{}x"),
        std::string("{\"prompt\":[1],\"prompt\":[2]}"), std::string("\xEF\xBB\xBF{}"),
        std::string("{\"prompt\":\"\xFF\"}"), std::string("{\"prompt\":[1e999]}"),
        std::string("{\"prompt\":[NaN]}"), std::string("{\"prompt\":[1]}\0", 15), deep}) {
    EXPECT_EQ(refusal(body).status, 400) << body.substr(0, 40);
  }
}

// --- Routes
// ----------------------------------------------------------------------------------------

class Endpoint : public Completions {
 protected:
  HttpResponse ask(const std::string& method, const std::string& path,
                   const std::string& body = {}) {
    return endpoint_({method, path, {}, {}, body});
  }
  ModelRun run_;
  CompletionsEndpoint endpoint_{model, served, run_};
};

TEST_F(Endpoint, KnowsThreeAddresses) {
  EXPECT_EQ(Json::parse(ask("GET", "/health").body).at("status"), "ok");
  EXPECT_EQ(Json::parse(ask("GET", "/v1/models").body).at("data")[0].at("id"), "fake");
  EXPECT_EQ(ask("POST", "/v1/completions", R"({"prompt":[1]})").status, 200);
  EXPECT_EQ(ask("GET", "/v1/chat").status, 404);
}

TEST_F(Endpoint, NamesTheMethodThatIsAllowed) {
  const HttpResponse get = ask("GET", "/v1/completions");
  EXPECT_EQ(get.status, 405);
  EXPECT_EQ(get.headers.at("Allow"), "POST");
  EXPECT_EQ(ask("POST", "/v1/models").headers.at("Allow"), "GET");
  EXPECT_EQ(ask("DELETE", "/health").status, 405);
}

TEST_F(Endpoint, ErrorsAreTheApis) {
  const HttpResponse response = ask("POST", "/v1/completions", R"({"prompt":[1],"n":2})");
  EXPECT_EQ(response.status, 400);
  const Json error = Json::parse(response.body).at("error");
  EXPECT_EQ(error.at("param"), "n");
  EXPECT_EQ(error.at("type"), "invalid_request_error");
  EXPECT_TRUE(error.at("code").is_null());
  EXPECT_TRUE(error.at("message").is_string());
}

}  // namespace
}  // namespace suture::serve
