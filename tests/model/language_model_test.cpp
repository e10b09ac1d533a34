#include "suture/language_model.h"

#include <atomic>
#include <limits>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/live_weights.h"

#include "core/cuda_driver.h"
#include "format/json.h"
#include "model/architectures.h"
#include "model/decoder.h"
#include "support/tiny_decoder.h"

namespace suture {
namespace {

using namespace testing_support;

at::Tensor logits_of(const LanguageModel& model, const TokenIds& tokens) {
  return model.logits(at::tensor(tokens, at::kLong).unsqueeze(0)).squeeze(0);
}

TokenIds joined(TokenIds first, const TokenIds& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// What `score` means, from the logits of the whole sequence alone.
void expect_scores(const LanguageModel& model, const ScoringRequest& request,
                   const ContinuationScore& score) {
  const TokenIds all = joined(request.context, request.continuation);
  const at::Tensor scores = logits_of(model, all).to(at::kDouble).log_softmax(1);
  ASSERT_EQ(score.tokens.size(), request.continuation.size());
  for (std::size_t i = 0; i < request.continuation.size(); ++i) {
    const at::Tensor row = scores[static_cast<std::int64_t>(request.context.size() + i) - 1];
    EXPECT_NEAR(score.tokens[i].log_probability, row[request.continuation[i]].item<double>(), 1e-5);
    EXPECT_NEAR(score.tokens[i].top_log_probability, row.max().item<double>(), 1e-5);
    EXPECT_EQ(score.tokens[i].top_token, row.argmax().item<std::int64_t>());
  }
  ASSERT_EQ(score.next_top.has_value(), request.with_next_top);
  if (request.with_next_top) {
    EXPECT_EQ(score.next_top->top_token, scores[-1].argmax().item<std::int64_t>());
    EXPECT_NEAR(score.next_top->log_probability, scores[-1].max().item<double>(), 1e-5);
  }
}

std::vector<ScoringRequest> varied_requests() {
  const TokenIds shots = tiny_tokens(20, 1);
  std::vector<ScoringRequest> requests;
  for (std::uint64_t record = 0; record < 7; ++record) {
    const TokenIds context = joined(shots, tiny_tokens(1 + record, 10 + record));
    for (std::uint64_t choice = 0; choice <= record % 4; ++choice)
      requests.push_back({context, tiny_tokens(1 + choice, 100 * record + choice), choice == 1});
  }
  return requests;
}

TEST(LanguageModelScore, IsThatOfTheWholeSequence) {
  LanguageModel model = tiny_model();
  const auto requests = varied_requests();
  const auto scores = model.score(requests);
  ASSERT_EQ(scores.size(), requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) expect_scores(model, requests[i], scores[i]);
}

TEST(LanguageModelScore, DoesNotNeedASharedBeginning) {
  LanguageModel model = tiny_model();
  std::vector<ScoringRequest> requests{{{5}, {6}, true}, {tiny_tokens(40, 3), tiny_tokens(12, 4)}};
  requests.push_back({{5}, {8, 9}});
  requests.push_back({{5}, {6}});
  const auto scores = model.score(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) expect_scores(model, requests[i], scores[i]);
}

TEST(LanguageModelScore, IsTheSameOneByOne) {
  LanguageModel model = tiny_model();
  const auto requests = varied_requests();
  const auto together = model.score(requests);
  std::size_t reported = 0;
  ModelRun one_by_one;
  one_by_one.batch_size = 1;
  one_by_one.on_progress = [&](std::size_t done, std::size_t total) {
    EXPECT_GT(done, reported);
    EXPECT_EQ(total, requests.size());
    reported = done;
  };
  const auto alone = model.score(requests, one_by_one);
  EXPECT_EQ(reported, requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i)
    EXPECT_NEAR(alone[i].log_probability(), together[i].log_probability(), 1e-5);
}

TEST(LanguageModelScore, OfNothingIsNothing) { EXPECT_TRUE(tiny_model().score({}).empty()); }

TEST(LanguageModelScore, FillsTheLengthButNotMore) {
  LanguageModel model = tiny_model();
  // The last token is never fed: one more than fits can be scored.
  expect_scores(model, {tiny_tokens(100, 1), tiny_tokens(28, 2)},
                model.score({{tiny_tokens(100, 1), tiny_tokens(28, 2)}})[0]);
  EXPECT_NO_THROW(model.score({{tiny_tokens(100, 1), tiny_tokens(29, 2)}}));
  EXPECT_THROW(model.score({{tiny_tokens(100, 1), tiny_tokens(29, 2), true}}), UsageError);
  EXPECT_THROW(model.score({{tiny_tokens(100, 1), tiny_tokens(30, 2)}}), UsageError);
}

TEST(LanguageModelGenerate, FollowsTheLikeliestToken) {
  LanguageModel model = tiny_model();
  std::vector<GenerationRequest> requests;
  for (const std::size_t length : {3, 30, 1, 17}) {
    requests.emplace_back();
    requests.back().prompt = tiny_tokens(length, length);
    requests.back().max_new_tokens = 20;
  }
  const auto generations = model.generate(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    TokenIds all = requests[i].prompt;
    ASSERT_EQ(generations[i].tokens.size(), 20u);
    EXPECT_EQ(generations[i].finish, FinishReason::kLength);
    for (std::size_t step = 0; step < 20; ++step) {
      const at::Tensor last = logits_of(model, all)[-1];
      ASSERT_EQ(generations[i].tokens[step], last.argmax().item<std::int64_t>());
      EXPECT_NEAR(generations[i].scores[step].log_probability,
                  last.log_softmax(0).max().item<double>(), 1e-5);
      all.push_back(generations[i].tokens[step]);
    }
  }
}

TEST(LanguageModelGenerate, EndsWhereItIsTold) {
  LanguageModel model = tiny_model();
  GenerationRequest free;
  free.prompt = tiny_tokens(4, 8);
  free.max_new_tokens = 10;
  const TokenIds tokens = model.generate({free})[0].tokens;

  GenerationRequest to_token = free;
  to_token.end_tokens = {tokens[3]};
  const Generation ended = model.generate({to_token})[0];
  EXPECT_EQ(ended.finish, FinishReason::kStop);
  EXPECT_EQ(ended.tokens.back(), tokens[3]);
  EXPECT_LE(ended.tokens.size(), 4u);

  GenerationRequest to_stop = free;
  to_stop.stop = [](const TokenIds& all) { return all.size() == 6; };
  const auto mixed = model.generate({to_stop, free, to_token});
  EXPECT_EQ(mixed[0].tokens, TokenIds(tokens.begin(), tokens.begin() + 6));
  EXPECT_EQ(mixed[0].finish, FinishReason::kStop);
  EXPECT_EQ(mixed[1].tokens, tokens);
  EXPECT_EQ(mixed[2].tokens, ended.tokens);
}

TEST(LanguageModelGenerate, EndsAtTheModelsLength) {
  LanguageModel model = tiny_model();
  GenerationRequest request;
  request.prompt = tiny_tokens(126, 8);
  request.max_new_tokens = 50;
  EXPECT_EQ(model.generate({request})[0].tokens.size(), 3u);  // the last is never fed
  request.prompt = tiny_tokens(129, 8);
  EXPECT_THROW(model.generate({request}), UsageError);
  request.prompt = tiny_tokens(5, 8);
  request.max_new_tokens = 0;
  EXPECT_TRUE(model.generate({request})[0].tokens.empty());
}

// Beyond the room that a cache begins with, with rows of different lengths.
TEST(LanguageModelGenerate, GoesOnWhenItsCacheIsFull) {
  std::string config = tiny_config();
  config.replace(config.find("128"), 3, "999");
  LanguageModel model(config, tiny_weights());
  std::vector<GenerationRequest> requests(2);
  requests[0].prompt = tiny_tokens(5, 1);
  requests[1].prompt = tiny_tokens(40, 2);
  for (GenerationRequest& request : requests) request.max_new_tokens = 320;
  const auto generations = model.generate(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const TokenIds& tokens = generations[i].tokens;
    ASSERT_EQ(tokens.size(), 320u);
    const at::Tensor likeliest = logits_of(model, joined(requests[i].prompt, tokens)).argmax(1);
    for (std::size_t step = 0; step < tokens.size(); ++step) {
      const auto place = static_cast<std::int64_t>(requests[i].prompt.size() + step) - 1;
      ASSERT_EQ(tokens[step], likeliest[place].item<std::int64_t>()) << "step " << step;
    }
  }
}

TEST(LanguageModelGenerate, RefusesScoresThatAreNoNumbers) {
  LanguageModel model = tiny_model();
  model.weights().at("model.norm.weight").fill_(std::numeric_limits<float>::quiet_NaN());
  GenerationRequest request;
  request.prompt = {1};
  EXPECT_THROW(model.generate({request}), Error);
  request.sampling.temperature = 1;
  EXPECT_THROW(model.generate({request}), Error);
}

TEST(LanguageModelGenerate, RefusesSamplingThatMeansNothingBeforeTheWork) {
  LanguageModel model = tiny_model();
  std::vector<GenerationRequest> requests(20);
  for (GenerationRequest& request : requests) request.prompt = {1, 2};
  requests.back().sampling.top_p = 0;
  ModelRun run;
  run.on_progress = [](std::size_t, std::size_t) { ADD_FAILURE() << "has begun"; };
  EXPECT_THROW(model.generate(requests, run), UsageError);
}

TEST(LanguageModelGenerate, DrawsTheSameWithTheSameSeed) {
  LanguageModel model = tiny_model();
  GenerationRequest request;
  request.prompt = tiny_tokens(4, 8);
  request.max_new_tokens = 30;
  request.sampling.temperature = 1.5;
  const TokenIds first = model.generate({request})[0].tokens;
  EXPECT_EQ(model.generate({request})[0].tokens, first);
  EXPECT_EQ(model.generate({request, request})[1].tokens, first);
  request.sampling.seed = 1;
  EXPECT_NE(model.generate({request})[0].tokens, first);
}

TEST(LanguageModel, StopsWhenCancelled) {
  LanguageModel model = tiny_model();
  const std::atomic<bool> cancel{true};
  ModelRun run;
  run.cancel = &cancel;
  EXPECT_THROW(model.score({{{1}, {2}}}, run), Interrupted);
  GenerationRequest request;
  request.prompt = {1};
  EXPECT_THROW(model.generate({request}, run), Interrupted);
}

// A pass over a long prompt takes seconds on a real model.
TEST(Decoder, StopsBetweenLayers) {
  const auto config = model::describe_decoder(format::parse_json(tiny_config(), "c"), "c", false);
  model::Decoder decoder(config, model::bind_weights(config, tiny_weights(), "M"), at::kFloat, 1);
  model::KeyValueCache cache(config, 1, 4, at::kFloat);
  const std::atomic<bool> cancel{true};
  EXPECT_NO_THROW(decoder.feed(at::zeros({1, 2}, at::kLong), {0}, cache, {}));
  decoder.watch(&cancel);
  EXPECT_THROW(decoder.feed(at::zeros({1, 2}, at::kLong), {2}, cache, {}), Interrupted);
}

TEST(LanguageModel, ForgetsTheFlagOfAnEarlierCall) {
  LanguageModel model = tiny_model();
  std::atomic<bool> cancel{false};
  ModelRun run;
  run.cancel = &cancel;
  run.batch_size = 1;
  run.on_progress = [&](std::size_t, std::size_t) { cancel = true; };
  EXPECT_THROW(model.score({{{1}, {2}}, {{3}, {4}}}, run), Interrupted);
  EXPECT_NO_THROW(model.score({{{1}, {2}}}));  // the next call has no such flag
  EXPECT_NO_THROW(model.logits(at::zeros({1, 3}, at::kLong)));
}

TEST(LanguageModel, RefusesTokensOutsideTheVocabulary) {
  LanguageModel model = tiny_model();
  EXPECT_THROW(model.score({{{61}, {0}}}), UsageError);
  EXPECT_THROW(model.score({{{0}, {-1}}}), UsageError);
  EXPECT_THROW(model.score({{{}, {1}}}), UsageError);
  EXPECT_THROW(model.score({{{1}, {}}}), UsageError);
  EXPECT_THROW(model.logits(at::full({1, 2}, 61, at::kLong)), UsageError);
  EXPECT_THROW(model.logits(at::zeros({2}, at::kLong)), UsageError);
  EXPECT_THROW(model.logits(at::zeros({1, 2})), UsageError);
}

// The model computes on the state dict itself: a vector written into it takes effect, and taking
// its bytes back takes the effect back, to the bit.
TEST(LanguageModel, FollowsItsWeightsInPlace) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    LanguageModel model = tiny_model(type);
    const TokenIds tokens = tiny_tokens(30, 2);
    const at::Tensor before = logits_of(model, tokens);
    const StateDict kept = model.weights().clone();
    for (const auto& [name, tensor] : model.weights()) tensor.add_(at::ones_like(tensor), 0.05);
    EXPECT_GT((logits_of(model, tokens) - before).abs().max().item<float>(), 0.01);
    for (const auto& [name, tensor] : model.weights()) tensor.copy_(kept.at(name));
    EXPECT_TRUE(at::equal(logits_of(model, tokens), before));
  }
}

TEST(LanguageModel, RunsWithAVectorAppliedAndWithoutItAgain) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    LanguageModel model = tiny_model(type);
    StateDict tuned = tiny_weights(type);
    for (const auto& [name, tensor] : tuned) tensor.mul_(1.25);
    const TaskVector vector = TaskVector::difference(tuned, tiny_weights(type));
    const TokenIds tokens = tiny_tokens(30, 2);
    const at::Tensor before = logits_of(model, tokens);
    LiveWeights live(model.weights());
    {
      LiveEdit applied = live.apply(vector.only("layer=1-"), 0.5);
      const at::Tensor half = logits_of(model, tokens);
      EXPECT_FALSE(at::equal(half, before));
      applied.rescale(-3);
      EXPECT_FALSE(at::equal(logits_of(model, tokens), half));
      applied.rescale(0.5);
      EXPECT_TRUE(at::equal(logits_of(model, tokens), half));
      applied.rescale(0);
      EXPECT_TRUE(at::equal(logits_of(model, tokens), before));
      applied.rescale(1);
    }
    EXPECT_TRUE(at::equal(logits_of(model, tokens), before));
    const LiveEdit whole = live.apply(vector);
    EXPECT_TRUE(at::equal(logits_of(model, tokens),
                          logits_of(LanguageModel(tiny_config(), tuned), tokens)));
  }
}

TEST(LanguageModel, ComputesInFloat32OnBf16Weights) {
  LanguageModel narrow = tiny_model(at::kBFloat16);
  StateDict widened;
  for (const auto& [name, tensor] : tiny_weights(at::kBFloat16))
    widened.set(name, tensor.to(at::kFloat));
  LanguageModel wide(tiny_config(), widened);
  for (const std::size_t length : {1, 8, 50}) {
    const TokenIds tokens = tiny_tokens(length, 4);
    EXPECT_LT((logits_of(narrow, tokens) - logits_of(wide, tokens)).abs().max().item<float>(),
              1e-5);
  }
}

TEST(LanguageModel, TellsWhatItIs) {
  const LanguageModelInfo info = tiny_model(at::kBFloat16).info();
  EXPECT_EQ(info.architecture, "Qwen2ForCausalLM");
  EXPECT_EQ(info.layers, 3);
  EXPECT_EQ(info.max_length, 128);
  EXPECT_EQ(info.end_tokens, (TokenIds{7, 9}));
  std::int64_t parameters = 0;
  for (const auto& [name, tensor] : tiny_weights()) parameters += tensor.numel();
  EXPECT_EQ(info.parameters, parameters);
  EXPECT_EQ(info.weight_bytes, static_cast<std::uint64_t>(2 * parameters));
  EXPECT_EQ(info.cache_token_bytes, 2u * 3 * 2 * 8 * 4);
}

TEST(LanguageModelOnGpu, DoesAsTheCpuDoes) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "there is no GPU";
  LanguageModelOptions options;
  options.device = at::kCUDA;
  LanguageModel here = tiny_model(), there(tiny_config(), tiny_weights(), options);
  const auto requests = varied_requests();
  const auto wanted = here.score(requests), found = there.score(requests);
  for (std::size_t i = 0; i < requests.size(); ++i)
    EXPECT_NEAR(found[i].log_probability(), wanted[i].log_probability(), 1e-3);
  std::vector<GenerationRequest> prompts(2);
  prompts[0].prompt = tiny_tokens(3, 1);
  prompts[1].prompt = tiny_tokens(20, 2);
  for (GenerationRequest& prompt : prompts) prompt.max_new_tokens = 30;
  const auto continued = here.generate(prompts), continued_there = there.generate(prompts);
  for (std::size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(continued_there[i].tokens, continued[i].tokens);
}

std::string refusal(const std::string& config, const StateDict& weights) {
  try {
    LanguageModel(config, weights, {}, "M");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(LanguageModel, RefusesWeightsThatItsConfigDoesNotImply) {
  StateDict more = tiny_weights();
  more.set("model.layers.1.self_attn.q_norm.weight", at::ones({8}));
  EXPECT_NE(refusal(tiny_config(), more).find("'model.layers.1.self_attn.q_norm.weight'"),
            std::string::npos);

  StateDict misshapen = tiny_weights();
  misshapen.set("model.norm.weight", at::ones({33}));
  EXPECT_NE(refusal(tiny_config(), misshapen).find("[33]"), std::string::npos);

  StateDict whole = tiny_weights();
  whole.set("model.norm.weight", at::ones({32}, at::kLong));
  EXPECT_NE(refusal(tiny_config(), whole).find("Long"), std::string::npos);

  StateDict angles = tiny_weights();
  angles.set("model.layers.0.self_attn.rotary_emb.inv_freq", at::ones({4}));
  EXPECT_EQ(refusal(tiny_config(), angles), "accepted");
}

TEST(LanguageModel, TakesATiedHeadThatIsStoredTwice) {
  const std::string tied = tiny_config(R"(, "tie_word_embeddings": true)");
  StateDict weights = tiny_weights();
  EXPECT_NE(refusal(tied, weights).find("lm_head.weight"), std::string::npos);
  weights.set("lm_head.weight", weights.at("model.embed_tokens.weight").clone());
  EXPECT_EQ(refusal(tied, weights), "accepted");
}

TEST(LanguageModel, RefusesUnknownSettingsUnlessTold) {
  const std::string config = tiny_config(R"(, "logit_scale": 0.5)");
  EXPECT_NE(refusal(config, tiny_weights()).find("logit_scale"), std::string::npos);
  LanguageModelOptions options;
  options.ignore_unknown_settings = true;
  EXPECT_NO_THROW(LanguageModel(config, tiny_weights(), options));
}

TEST(LanguageModel, RefusesToComputeInADtypeOfNoUse) {
  LanguageModelOptions options;
  options.dtype = Dtype::kF64;
  EXPECT_THROW(LanguageModel(tiny_config(), tiny_weights(), options), UsageError);
}

}  // namespace
}  // namespace suture
