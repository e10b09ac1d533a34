#include "suture/evaluation.h"

#include <cmath>
#include <fstream>

#include <gtest/gtest.h>

#include "evaluate/encoding.h"
#include "support/pseudo_model.h"
#include "support/temp_dir.h"

namespace suture {
namespace {

using test::byte_codec;
using test::bytes_as_tokens;
using test::kEndToken;
using test::PseudoModel;

Task task_of(const std::string& content) {
  const test::TempDir dir;
  std::ofstream(dir / "task.jsonl") << content;
  return Task::open((dir / "task.jsonl").string());
}

double sum_of(const TokenIds& context, const TokenIds& continuation) {
  TokenIds tokens = context;
  double sum = 0;
  for (const std::int64_t token : continuation) {
    sum += PseudoModel::log_probability(tokens.back(), token, tokens.size());
    tokens.push_back(token);
  }
  return sum;
}

TEST(Encoding, SpacesAtTheContextsEndAreScored) {
  const auto pair = evaluation::encode_pair(byte_codec(), "ab \n", "c", false, 64, "t");
  EXPECT_EQ(pair.request.context, bytes_as_tokens("ab"));
  EXPECT_EQ(pair.request.continuation, bytes_as_tokens(" \nc"));
}

TEST(Encoding, AnEmptyContextIsThePrefixToken) {
  const auto pair = evaluation::encode_pair(byte_codec(), "", "cd", false, 64, "t");
  EXPECT_EQ(pair.request.context, TokenIds{kEndToken});
  EXPECT_EQ(pair.request.continuation, bytes_as_tokens("cd"));
  evaluation::TextCodec nameless = byte_codec();
  nameless.eos.reset();
  EXPECT_THROW(evaluation::encode_pair(nameless, "", "c", false, 64, "t"), UsageError);
}

TEST(Encoding, LongContextsLoseTheirLeftEnd) {
  const auto pair = evaluation::encode_pair(byte_codec(), "abcdef", "gh", false, 4, "t");
  EXPECT_EQ(pair.request.context, bytes_as_tokens("def")) << "one more than the model takes";
  EXPECT_EQ(pair.truncated, 3U);
  EXPECT_THROW(evaluation::encode_pair(byte_codec(), "a", "bcdef", false, 4, "t"), UsageError);
  EXPECT_THROW(evaluation::encode_pair(byte_codec(), "a", "", false, 4, "t"), UsageError);
}

TEST(Encoding, PromptsLeaveRoomForWhatIsWritten) {
  const auto prompt = evaluation::encode_prompt(byte_codec(), "abcdef", false, 3, 8, "t");
  EXPECT_EQ(prompt.request.context, bytes_as_tokens("bcdef"));
  EXPECT_THROW(evaluation::encode_prompt(byte_codec(), "a", false, 8, 8, "t"), UsageError);
}

TEST(Encoding, WindowsScoreEachTokenOnce) {
  for (std::size_t length = 0; length < 30; ++length) {
    const TokenIds tokens =
        bytes_as_tokens(std::string("abcdefghijklmnopqrstuvwxyz0123").substr(0, length));
    TokenIds scored;
    for (const ScoringRequest& window : evaluation::rolling_windows(tokens, kEndToken, 7)) {
      EXPECT_LE(window.context.size() + window.continuation.size(), 8U);
      EXPECT_GE(window.context.size(), 1U);
      scored.insert(scored.end(), window.continuation.begin(), window.continuation.end());
    }
    EXPECT_EQ(scored, tokens);
  }
  const auto windows = evaluation::rolling_windows(bytes_as_tokens("abcde"), kEndToken, 4);
  ASSERT_EQ(windows.size(), 2U);
  EXPECT_EQ(windows[1].context, bytes_as_tokens("abcd"));
}

TEST(Evaluation, ChoicesAreJudgedByTheirScores) {
  const Task task = task_of(R"({"task": {"description": "D. "}})"
                            "\n"
                            R"({"context": "Q:", "choices": ["yes", "n"], "gold": 0})"
                            "\n"
                            R"({"context": "", "choices": ["ab", "ab"], "gold": 1})");
  PseudoModel model;
  const Evaluation result = evaluation::evaluate(model, byte_codec(), task, {});
  ASSERT_EQ(result.records.size(), 2U);
  const RecordResult& first = result.records[0];
  EXPECT_EQ(first.prompt, "D. Q:");
  const double yes = sum_of(bytes_as_tokens("D. Q:"), bytes_as_tokens(" yes"));
  const double no = sum_of(bytes_as_tokens("D. Q:"), bytes_as_tokens(" n"));
  EXPECT_DOUBLE_EQ(first.log_probabilities[0], yes);
  EXPECT_DOUBLE_EQ(*first.margin, yes - no);
  EXPECT_EQ(first.metrics[0].value, yes >= no ? 1 : 0);
  EXPECT_EQ(first.metrics[1].value, yes / 3 >= no ? 1 : 0);
  EXPECT_EQ(result.records[1].metrics[0].value, 0) << "of equals the first is taken";
  EXPECT_EQ(result.find("acc")->interval, "wilson");
  EXPECT_FALSE(first.greedy[0]);
}

TEST(Evaluation, ANormalisedScoreCountsCharacters) {
  // Two scores whose order turns with the length: 4 characters, 8 bytes against 2 characters.
  const Task task = task_of(R"({"context": "x", "choices": ["éééé", "ab"], "gold": 0})");
  PseudoModel model;
  const RecordResult record = evaluation::evaluate(model, byte_codec(), task, {}).records[0];
  const double a = record.log_probabilities[0], b = record.log_probabilities[1];
  EXPECT_EQ(record.metrics[1].value, a / 4 >= b / 2 ? 1 : 0);
  EXPECT_EQ(record.metrics[2].value, a / 8 >= b / 2 ? 1 : 0);
}

TEST(Evaluation, TextsGivePerplexities) {
  const Task task = task_of("{\"text\": \"two words\"}\n{\"text\": \"abc\"}");
  PseudoModel model(5);
  const Evaluation result = evaluation::evaluate(model, byte_codec(), task, {});
  double sum = 0;
  for (const RecordResult& record : result.records) sum += record.log_probabilities[0];
  EXPECT_NEAR(result.find("word_perplexity")->value, std::exp(-sum / 3), 1e-9);
  EXPECT_NEAR(result.find("byte_perplexity")->value, std::exp(-sum / 12), 1e-9);
  EXPECT_NEAR(result.find("bits_per_byte")->value, -sum / 12 / std::log(2.0), 1e-9);
  EXPECT_NEAR(result.find("nll_per_token")->value, -sum / 12, 1e-9);
  EXPECT_LT(*result.find("word_perplexity")->low, result.find("word_perplexity")->value);
}

TEST(Evaluation, GenerationsAreCutExtractedAndCompared) {
  const Task task = task_of(
      R"x({"task": {"until": ["\n\n", "Q:"], "filters": [{"name": "strict", "regex": "#### ([0-9]+)"}, {"name": "flexible", "regex": "[0-9]+", "group_select": -1}]}}
{"prompt": "one", "target": "42"}
{"prompt": "two", "target": "7"})x");
  PseudoModel model;
  model.completions = {{"one", "so #### 42 Q: #### 1"}, {"two", "it is 7\n\n8"}};
  EvaluationOptions options;
  options.max_new_tokens = 40;
  options.score_targets = true;
  const Evaluation result = evaluation::evaluate(model, byte_codec(), task, options);
  EXPECT_EQ(result.records[0].completion, "so #### 42 ");
  EXPECT_LT(result.records[0].generated_tokens, 20U) << "generation went on behind the stop text";
  EXPECT_EQ(result.records[1].answers, (std::vector<std::string>{"[invalid]", "7"}));
  EXPECT_EQ(result.find("exact_match", "strict")->value, 0.5);
  EXPECT_EQ(result.find("exact_match", "flexible")->value, 1);
  EXPECT_DOUBLE_EQ(*result.records[1].target_log_probability,
                   sum_of(bytes_as_tokens("two"), bytes_as_tokens(" 7")));
  options.max_new_tokens = 3;
  const Evaluation cut = evaluation::evaluate(model, byte_codec(), task, options);
  EXPECT_EQ(cut.records[0].completion, "so ");
  EXPECT_TRUE(cut.records[0].ran_into_limit);
}

TEST(Evaluation, ALimitTakesTheFirstRecords) {
  const Task task = task_of("{\"text\": \"ab\"}\n{\"text\": \"abc\"}");
  PseudoModel model;
  EvaluationOptions options;
  options.limit = 1;
  const Evaluation result = evaluation::evaluate(model, byte_codec(), task, options);
  EXPECT_EQ(result.records.size(), 1U);
  EXPECT_FALSE(result.metrics[0].standard_error) << "one record tells no error";
  options.limit = 0;
  EXPECT_THROW(evaluation::evaluate(model, byte_codec(), task, options), UsageError);
}

// The message of the refusal of `content`.
std::string refusal(const std::string& content, PseudoModel& model,
                    const EvaluationOptions& options = {},
                    const evaluation::TextCodec& codec = byte_codec()) {
  try {
    evaluation::evaluate(model, codec, task_of(content), options);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST(Evaluation, RefusesGenerationsWhoseScoresAreNoNumbers) {
  PseudoModel model(512);
  const std::string record = R"({"prompt": "a", "target": "b"})";
  EXPECT_EQ(refusal(record, model), "");
  model.broken = true;
  EXPECT_NE(refusal(record, model).find("line 1: the model's score is not a number"),
            std::string::npos);
}

TEST(Evaluation, RefusesEmptyTargetsThatAreToBeScored) {
  PseudoModel model(512);
  const std::string records =
      "{\"prompt\": \"a\", \"target\": \"b\"}\n{\"prompt\": \"c\", \"target\": \"\"}\n";
  EXPECT_EQ(refusal(records, model), "");
  EvaluationOptions options;
  options.score_targets = true;
  EXPECT_NE(refusal(records, model, options).find("line 2: an empty target cannot be scored"),
            std::string::npos);
}

TEST(Evaluation, RefusesATextWithoutTokens) {
  PseudoModel model;
  evaluation::TextCodec codec = byte_codec();
  codec.encode = [](std::string_view, bool) { return TokenIds{}; };
  EXPECT_NE(refusal(R"({"text": "a"})", model, {}, codec).find("line 1: a text without a token"),
            std::string::npos);
}

}  // namespace
}  // namespace suture
