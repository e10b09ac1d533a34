// `suture eval`, run as its users run it.

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/state_dict.h"

#include "support/folder_tree.h"
#include "support/language_family.h"
#include "support/run_program.h"
#include "support/temp_dir.h"
#include "support/thrown.h"
#include "support/tiny_decoder.h"

namespace suture {
namespace {

using nlohmann::json;
using test::ended_with;
using test::holds;
using test::Outcome;
using test::was_refused;

class Eval : public testing::Test {
 protected:
  Eval() {
    write_model(testing_support::tiny_weights(at::kFloat, test::kByteVocab));
    test::write_tasks(dir_.path());
  }

  void write_model(const StateDict& weights) { test::write_byte_model(dir_ / "model", weights); }

  Outcome run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "eval");
    test::Invocation invocation;
    invocation.arguments = std::move(arguments);
    invocation.folder = dir_.path();
    return test::run_program(invocation);
  }

  json report(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--json", "-"});
    const Outcome outcome = run(std::move(arguments));
    EXPECT_TRUE(ended_with(outcome, 0));
    return json::parse(outcome.out);
  }

  test::TempDir dir_;
};

const json& metric(const json& report, std::size_t task, const std::string& name) {
  for (const json& one : report.at("tasks").at(task).at("metrics"))
    if (one.at("metric") == name) return one;
  throw std::out_of_range(name);
}

TEST_F(Eval, ScoresTasksOfEveryKindWithTheirProtocol) {
  const json found =
      report({"model", "--task", "choice.jsonl", "--task", "write.jsonl", "--task", "text.jsonl"});
  EXPECT_EQ(found.at("schema"), "suture.eval/1");
  for (const char* key : {"model_digest", "tokenizer_digest", "dtype", "device", "end_tokens"})
    EXPECT_TRUE(found.at("protocol").contains(key)) << key;
  EXPECT_EQ(found.at("tasks").at(0).at("scored_records"), 3);
  const json& accuracy = metric(found, 0, "acc");
  EXPECT_EQ(accuracy.at("interval_kind"), "wilson");
  EXPECT_LE(accuracy.at("interval_95").at(0), accuracy.at("value"));
  EXPECT_EQ(metric(found, 1, "exact_match").at("value"), 0.0);
  EXPECT_GT(metric(found, 2, "word_perplexity").at("value"), 1.0);
}

TEST_F(Eval, ShowsATableAndNothingElse) {
  const Outcome outcome = run({"model", "--task", "choice.jsonl"});
  EXPECT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.out, "choice"));
  EXPECT_TRUE(holds(outcome.out, "acc_norm"));
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Eval, WritesTheHarnessesFilesAndCompletions) {
  EXPECT_TRUE(ended_with(
      run({"model", "--task", "write.jsonl", "--limit", "1", "-o", "out", "--write-completions"}),
      0));
  std::string results, samples, completions;
  for (const auto& entry : std::filesystem::directory_iterator(dir_ / "out/model")) {
    const std::string name = entry.path().filename().string();
    (name.rfind("results_", 0) == 0   ? results
     : name.rfind("samples_", 0) == 0 ? samples
                                      : completions) = test::read_file(entry.path());
  }
  EXPECT_EQ(json::parse(results).at("n-samples").at("write").at("effective"), 1);
  EXPECT_EQ(json::parse(samples).at("doc").at("prompt"), "1+1=");
  EXPECT_EQ(json::parse(completions).at("task_id"), "sum/0");
}

TEST_F(Eval, LimitsAndBatchesChangeNoScore) {
  const json all = report({"model", "--task", "text.jsonl"});
  const json alone = report({"model", "--task", "text.jsonl", "--batch", "1"});
  EXPECT_NEAR(metric(all, 0, "nll_per_token").at("value").get<double>(),
              metric(alone, 0, "nll_per_token").at("value").get<double>(), 1e-6);
}

// Rows beyond the tokenizer's last id are common; an edited model may write them.
TEST_F(Eval, TakesATokenThatTheTokenizerLacksForNothing) {
  StateDict weights = testing_support::tiny_weights(at::kFloat, test::kByteVocab);
  weights.at("lm_head.weight").zero_();
  weights.at("lm_head.weight").slice(0, 280, 300).copy_(at::randn({20, 32}) * 100);
  write_model(weights);
  EXPECT_EQ(metric(report({"model", "--task", "write.jsonl"}), 0, "exact_match").at("value"), 0.0);
}

TEST_F(Eval, RefusesAModelWhoseScoresAreNoNumbers) {
  StateDict weights = testing_support::tiny_weights(at::kFloat, test::kByteVocab);
  weights.at("model.norm.weight").fill_(std::numeric_limits<float>::quiet_NaN());
  write_model(weights);
  for (const char* task : {"choice.jsonl", "write.jsonl", "text.jsonl"})
    EXPECT_TRUE(was_refused(run({"model", "--task", task}), "number"));
}

TEST_F(Eval, RefusesWhatItCannotScore) {
  EXPECT_TRUE(was_refused(run({"model"}), "--task"));
  EXPECT_TRUE(was_refused(run({"model", "--task", "none.jsonl"}), "none.jsonl"));
  EXPECT_TRUE(
      was_refused(run({"model", "--task", "choice.jsonl", "--task", "choice.jsonl"}), "'choice'"));
  EXPECT_TRUE(was_refused(run({"model", "--task", "choice.jsonl", "--dtype", "f64"}), "f64"));
  EXPECT_TRUE(was_refused(run({"model", "--task", "choice.jsonl", "--limit", "0"}), "--limit"));
  test::write_file(dir_ / "bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 1}\n");
  EXPECT_TRUE(was_refused(run({"model", "--task", "bad.jsonl"}), "bad.jsonl:2"));
  std::filesystem::remove(dir_ / "model/tokenizer.json");
  EXPECT_TRUE(was_refused(run({"model", "--task", "choice.jsonl"}), "tokenizer"));
}

TEST_F(Eval, RefusesAnOutputItCannotWriteBeforeTheWork) {
  test::write_file(dir_ / "file", "x");
  EXPECT_TRUE(was_refused(run({"model", "--task", "choice.jsonl", "-o", "file"}), "file"));
}

TEST_F(Eval, AsksBeforeItRunsAModelWithUnknownSettings) {
  std::string config = test::read_file(dir_ / "model/config.json");
  config.insert(config.size() - 1, R"(, "logit_scale": 2)");
  test::write_file(dir_ / "model/config.json", config);
  EXPECT_TRUE(was_refused(run({"model", "--task", "choice.jsonl"}), "--ignore-unknown-settings"));
  EXPECT_TRUE(ended_with(run({"model", "--task", "choice.jsonl", "--ignore-unknown-settings"}), 0));
}

}  // namespace
}  // namespace suture
