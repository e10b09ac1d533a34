#include "model/activation_memo.h"

#include <algorithm>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/language_model.h"

#include "model/decoder.h"
#include "model/scoring.h"
#include "support/tiny_decoder.h"

namespace suture::model {
namespace {

using namespace testing_support;

constexpr std::size_t kLayers = 3;
constexpr std::uint64_t kEverything = std::uint64_t{1} << 40;

// The tiny model, for longer sequences.
LanguageModel roomy_model(Dtype dtype = Dtype::kF32, unsigned threads = 1) {
  std::string config = tiny_config();
  config.replace(config.find("128"), 3, "4096");
  LanguageModelOptions options;
  options.dtype = dtype;
  options.run.threads = threads;
  return LanguageModel(config, tiny_weights(), options);
}

ActivationMemo::Sizes sizes_of(const LanguageModelInfo& info) {
  return {static_cast<std::uint64_t>(info.hidden_size) *
              static_cast<std::uint64_t>(bytes_of(info.dtype)),
          info.cache_token_bytes / static_cast<std::uint64_t>(info.layers)};
}

TokenIds joined(TokenIds first, const TokenIds& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// Choices behind contexts of their own that begin alike, or not.
std::vector<ScoringRequest> choices(std::size_t shared) {
  const TokenIds shots = tiny_tokens(shared, 1);
  std::vector<ScoringRequest> requests;
  for (std::uint64_t record = 0; record < 6; ++record) {
    const TokenIds context = joined(shots, tiny_tokens(1 + 5 * record, 10 + record));
    for (std::uint64_t choice = 0; choice <= record % 4; ++choice)
      requests.push_back(
          {context, tiny_tokens(1 + 2 * choice, 100 * record + choice), choice == 1});
  }
  return requests;
}

// Windows of texts: long continuations behind one token, some beyond what is fed at once.
std::vector<ScoringRequest> windows() {
  std::vector<ScoringRequest> requests;
  for (const std::size_t length : {3u, 700u, 1500u, 40u, 2300u})
    requests.push_back({tiny_tokens(1, length), tiny_tokens(length, length + 1), length == 40});
  return requests;
}

std::vector<GenerationRequest> prompts(std::size_t shared, std::size_t longest) {
  std::vector<GenerationRequest> requests;
  for (std::size_t i = 0; i < 7; ++i) {
    requests.emplace_back();
    requests.back().prompt =
        joined(tiny_tokens(shared, 2), tiny_tokens(1 + (i * longest) / 6, 50 + i));
    requests.back().max_new_tokens = static_cast<std::int64_t>(i % 4 + 1);
  }
  requests[3].max_new_tokens = 0;
  return requests;
}

// What an evaluation asks of a model.
struct Questions {
  std::string name;
  std::vector<GenerationRequest> prompts;
  std::vector<ScoringRequest> requests;
};

std::vector<Questions> all_questions() {
  return {{"choices", {}, choices(0)},
          {"choices behind a shared beginning", {}, choices(40)},
          {"choices in batches behind a long beginning", {}, choices(1200)},
          {"windows", {}, windows()},
          {"a lone request", {}, {{tiny_tokens(9, 9), tiny_tokens(3, 3)}}},
          {"prompts", prompts(0, 30), {}},
          {"prompts behind a shared beginning", prompts(20, 30), {}},
          {"long prompts", prompts(1100, 300), {}},
          {"prompts and their targets", prompts(17, 9), choices(17)}};
}

std::vector<double> numbers_of(const TokenScore& score) {
  return {score.log_probability, static_cast<double>(score.top_token), score.top_log_probability};
}

// Everything a model answers, bit for bit comparable.
std::vector<double> answers(LanguageModel& model, const Questions& questions, const ModelRun& run) {
  std::vector<double> all;
  const auto add = [&](const TokenScore& score) {
    for (const double number : numbers_of(score)) all.push_back(number);
  };
  if (!questions.prompts.empty()) {
    for (const Generation& generation : model.generate(questions.prompts, run)) {
      all.push_back(static_cast<double>(generation.tokens.size()));
      for (const TokenScore& score : generation.scores) add(score);
    }
  }
  if (!questions.requests.empty()) {
    for (const ContinuationScore& score : model.score(questions.requests, run)) {
      for (const TokenScore& token : score.tokens) add(token);
      if (score.next_top) add(*score.next_top);
    }
  }
  return all;
}

// Changes what stands from stage `first` on: 0 is the embedding, 1 + i layer i, then the head.
void change_weights(LanguageModel& model, std::size_t stage, std::mt19937& random) {
  const std::string part = stage == 0             ? "embed_tokens"
                           : stage == kLayers + 1 ? "lm_head"
                                                  : "layers." + std::to_string(stage - 1) + ".";
  for (const auto& [name, tensor] : model.weights()) {
    if (name.find(part) == std::string::npos) continue;
    at::Tensor weight = tensor;
    weight.add_(0.01 * (1 + static_cast<double>(random() % 5)));
  }
}

class ActivationMemoTest : public testing::Test {
 protected:
  // An evaluation with the memo and one without give the same bits; the budget is kept all along.
  static void expect_same(LanguageModel& model, const Questions& questions, ActivationMemo& memo,
                          std::uint64_t budget) {
    ModelRun plain, run;
    plain.batch_size = run.batch_size = questions.requests.size() % 2 == 0 ? 0 : 3;
    run.memo = &memo;
    run.on_progress = [&](std::size_t, std::size_t) { EXPECT_LE(memo.held_bytes(), budget); };
    const std::vector<double> found = answers(model, questions, run);
    EXPECT_LE(memo.held_bytes(), budget);
    ASSERT_EQ(found, answers(model, questions, plain));
  }

  // Random changes with the calls that fit them.
  static void expect_same_through_changes(LanguageModel& model, const Questions& questions,
                                          std::uint64_t budget, unsigned seed) {
    SCOPED_TRACE(questions.name + ", budget " + std::to_string(budget));
    std::mt19937 random(seed);
    ActivationMemo memo(sizes_of(model.info()), budget);
    for (int round = 0; round < 12 && !HasFatalFailure(); ++round) {
      // Mostly high up, so that something is held from evaluation to evaluation.
      const std::size_t stage =
          random() % 4 == 0 ? random() % (kLayers + 2) : kLayers + 1 - random() % 3;
      change_weights(model, stage, random);
      memo.forget_above(stage == 0 ? 0 : stage - 1);
      EXPECT_LE(memo.held_layer(), stage == 0 ? 0 : stage - 1);
      memo.begin(random() % (kLayers + 1), random() % 2 == 0);
      expect_same(model, questions, memo, budget);
    }
    memo.forget_above(0);
    EXPECT_EQ(memo.held_bytes(), 0u);
    EXPECT_EQ(memo.held_layer(), 0u);
  }
};

TEST_F(ActivationMemoTest, ChangesNoBitHoweverWeightsChange) {
  unsigned seed = 0;
  for (const Questions& questions : all_questions()) {
    LanguageModel model = roomy_model();
    expect_same_through_changes(model, questions, kEverything, ++seed);
  }
}

TEST_F(ActivationMemoTest, ChangesNoBitWithAnyBudget) {
  LanguageModel model = roomy_model();
  const std::vector<Questions> questions = all_questions();
  unsigned seed = 100;
  for (const std::size_t i : {1u, 3u, 6u, 8u})
    for (const std::uint64_t budget : {0u, 1u, 5'000u, 20'000u, 100'000u, 400'000u})
      expect_same_through_changes(model, questions[i], budget, ++seed);
}

TEST_F(ActivationMemoTest, ChangesNoBitInOtherDtypesAndOnSeveralThreads) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16}) {
    LanguageModel model = roomy_model(dtype, 3);
    for (const std::size_t i : {1u, 6u, 8u})
      expect_same_through_changes(model, all_questions()[i], kEverything, 7);
  }
}

void poison(LanguageModel& model, std::size_t layers) {
  for (const auto& [name, tensor] : model.weights()) {
    at::Tensor weight = tensor;
    const bool is_low = name.find("embed_tokens") != std::string::npos ||
                        (name.find("layers.0.") != std::string::npos && layers > 0) ||
                        (name.find("layers.1.") != std::string::npos && layers > 1) ||
                        (name.find("layers.2.") != std::string::npos && layers > 2);
    if (is_low) weight.fill_(std::numeric_limits<double>::quiet_NaN());
  }
}

// Where everything is held, what stands below is not looked at.
TEST_F(ActivationMemoTest, LeavesLowerLayersOut) {
  for (const Questions& questions : all_questions()) {
    if (!questions.prompts.empty()) continue;  // new tokens go through all layers
    for (std::size_t layer = 1; layer <= kLayers; ++layer) {
      SCOPED_TRACE(questions.name);
      LanguageModel model = roomy_model();
      ActivationMemo memo(sizes_of(model.info()), kEverything);
      ModelRun run;
      run.memo = &memo;
      memo.begin(layer, false);
      const std::vector<double> expected = answers(model, questions, run);
      poison(model, layer);
      for (int again = 0; again < 3; ++again) {
        memo.forget_above(layer);
        EXPECT_EQ(memo.held_layer(), layer);
        memo.begin(0, again == 2);
        EXPECT_EQ(answers(model, questions, run), expected);
      }
      EXPECT_EQ(memo.held_bytes(), 0u) << "the last use leaves nothing";
      memo.forget_above(layer);
      EXPECT_EQ(memo.held_layer(), 0u);
    }
  }
}

// A trunk is held while what branches off it comes and goes.
TEST_F(ActivationMemoTest, HoldsSeveralLayersAtOnce) {
  LanguageModel model = roomy_model();
  const Questions questions = all_questions()[1];
  ActivationMemo memo(sizes_of(model.info()), kEverything);
  std::mt19937 random(3);
  memo.begin(1, false);
  expect_same(model, questions, memo, kEverything);
  const std::uint64_t of_one = memo.held_bytes();
  EXPECT_GT(of_one, 0u);
  memo.forget_above(1);
  memo.begin(3, false);
  expect_same(model, questions, memo, kEverything);
  EXPECT_GT(memo.held_bytes(), of_one);
  change_weights(model, kLayers + 1, random);
  memo.forget_above(3);
  EXPECT_EQ(memo.held_layer(), 3u);
  memo.begin(0, false);
  expect_same(model, questions, memo, kEverything);
  change_weights(model, 2, random);
  memo.forget_above(1);
  EXPECT_EQ(memo.held_layer(), 1u);
  EXPECT_EQ(memo.held_bytes(), of_one);
  memo.begin(2, true);
  expect_same(model, questions, memo, kEverything);
  memo.forget_above(2);
  EXPECT_EQ(memo.held_layer(), 2u);
}

TEST_F(ActivationMemoTest, KeepsNothingLowerThanWhatItHolds) {
  LanguageModel model = roomy_model();
  const Questions questions = all_questions()[0];
  ActivationMemo memo(sizes_of(model.info()), kEverything);
  memo.begin(2, false);
  expect_same(model, questions, memo, kEverything);
  const std::uint64_t held = memo.held_bytes();
  for (const std::size_t keep : {1u, 2u}) {
    memo.forget_above(kLayers);
    memo.begin(keep, false);
    expect_same(model, questions, memo, kEverything);
    EXPECT_EQ(memo.held_bytes(), held);
  }
}

TEST_F(ActivationMemoTest, CountsHiddenStatesAndCachesAsTheyAre) {
  LanguageModel model = roomy_model();
  const auto sizes = sizes_of(model.info());
  EXPECT_EQ(sizes.hidden_bytes, 32u * 4);
  EXPECT_EQ(sizes.cache_bytes, 2u * 2 * 8 * 4);
  ActivationMemo memo(sizes, kEverything);
  ModelRun run;
  run.memo = &memo;
  memo.begin(2, false);
  model.score({{tiny_tokens(9, 1), tiny_tokens(4, 2)}}, run);
  EXPECT_EQ(memo.held_bytes(), 12 * sizes.hidden_bytes);
  memo.forget_above(0);
  memo.begin(2, false);
  GenerationRequest request;
  request.prompt = tiny_tokens(9, 1);
  request.max_new_tokens = 2;
  model.generate({request}, run);
  EXPECT_EQ(memo.held_bytes(), 9 * (sizes.hidden_bytes + 2 * sizes.cache_bytes));
}

TEST_F(ActivationMemoTest, RefusesOtherTokensThanItHolds) {
  LanguageModel model = roomy_model();
  ActivationMemo memo(sizes_of(model.info()), kEverything);
  ModelRun run;
  run.memo = &memo;
  const std::vector<ScoringRequest> first{{tiny_tokens(9, 1), tiny_tokens(4, 2)}};
  memo.begin(2, false);
  model.score(first, run);
  for (const ScoringRequest& other : {ScoringRequest{tiny_tokens(9, 3), tiny_tokens(4, 2)},
                                      ScoringRequest{tiny_tokens(8, 1), tiny_tokens(4, 2)}}) {
    memo.begin(0, false);
    EXPECT_THROW(model.score({other}, run), std::logic_error);
  }
  memo.begin(0, false);
  EXPECT_NO_THROW(model.score(first, run));
}

}  // namespace
}  // namespace suture::model
