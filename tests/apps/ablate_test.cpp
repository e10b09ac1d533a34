// `suture ablate`, run as its users run it: its arms against the long way round, its tables and
// files, and what it refuses. What is stopped and gone on with is tested in ablate_resume_test.cpp.

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <ATen/Parallel.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/control_vector.h"
#include "suture/evaluation.h"
#include "suture/language_model.h"
#include "suture/surgery.h"
#include "suture/task.h"
#include "suture/tokenizer.h"

#include "support/csv_rows.h"
#include "support/language_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::arm_names;
using test::arm_of;
using test::ended_with;
using test::holds;
using test::joined;
using test::Outcome;
using test::same_tree;
using test::tree_of;
using test::was_refused;

using Words = std::vector<std::string>;

const Words kTasks{"--task", "choice.jsonl", "--task", "write.jsonl", "--task", "text.jsonl"};
const Words kEverything{"--design", "leave-one-out,only-one,bottom-up,top-down",
                        "--by",     "layer,block,module",
                        "--arm",    "layer=1- & block=mlp",
                        "--arm",    "name='*.bias' | !layer=0-",
                        "--scale",  "1.5",
                        "--seed",   "7"};

class Ablate : public test::LanguageFamily {
 protected:
  // Of the stored vector on one task, with one arm for each layer.
  static Words few(const Words& more = {}) {
    return joined({"ablate", "target", "v.safetensors", "--task", "choice.jsonl", "--no-controls"},
                  more);
  }

  // What the arm's model is, made from the arm's text as a user would make it.
  static TaskVector vector_of(const json& arm, const TaskVector& vector) {
    const double scale = arm.at("scale");
    if (arm.at("kind") == "target") return {};
    if (arm.at("kind") == "random")
      return scale * norm_matched_random(vector, arm.at("seed").get<std::uint64_t>());
    if (arm.at("kind") == "permuted")
      return scale * with_layer_order(
                         vector, draw_order(3, {0, 1, 2}, arm.at("seed").get<std::uint64_t>()));
    return scale * vector.only(arm.at("selection").get<std::string>());
  }

  // Every metric of every record of the model in a folder, by task and metric.
  std::map<std::string, std::vector<double>> records_of(const std::string& folder) const {
    LanguageModelOptions model_options;
    model_options.run.threads = 1;
    LanguageModel model = LanguageModel::open((dir_ / folder).string(), model_options);
    const Tokenizer tokenizer = Tokenizer::open((dir_ / folder).string());
    std::map<std::string, std::vector<double>> records;
    for (const std::string name : {"choice", "write", "text"}) {
      EvaluationOptions options;
      options.score_targets = true;
      options.end_tokens = model.info().end_tokens;
      const Task task = Task::open((dir_ / (name + ".jsonl")).string());
      for (const RecordResult& record : evaluate(model, tokenizer, task, options).records)
        for (const RecordMetric& metric : record.metrics)
          records[name + " " + metric.name + " " + metric.filter].push_back(metric.value);
    }
    return records;
  }

  // Injects the arm into a folder and scores that: every record must be the same to the bit.
  testing::AssertionResult is_the_long_way(const json& arm, const Checkpoint& target,
                                           const TaskVector& vector) const {
    fs::remove_all(dir_ / "arm");
    inject(target, vector_of(arm, vector), (dir_ / "arm").string());
    const auto expected = records_of("arm");
    if (arm.at("metrics").size() != expected.size())
      return testing::AssertionFailure() << arm.at("name") << " has other metrics";
    for (const json& metric : arm.at("metrics")) {
      std::string name = metric.at("metric");
      if (name == "mean_nll_per_token") name = "nll_per_token";
      const auto found = expected.find(metric.at("task").get<std::string>() + " " + name + " " +
                                       metric.at("filter").get<std::string>());
      if (found == expected.end() ||
          metric.at("records").get<std::vector<double>>() != found->second)
        return testing::AssertionFailure() << arm.at("name") << ", " << metric;
    }
    return testing::AssertionSuccess();
  }

  void expect_the_long_way(const json& found, const TaskVector& vector) const {
    at::set_num_threads(1);
    const Checkpoint target = Checkpoint::open((dir_ / "target").string());
    for (const json& arm : found.at("arms")) EXPECT_TRUE(is_the_long_way(arm, target, vector));
  }
};

TEST_F(Ablate, ScoresEveryArmAsTheInjectedModelIsScored) {
  const auto before = tree_of(dir_ / "target");
  const json found =
      report(joined(joined({"ablate", "target", "v.safetensors"}, kTasks), kEverything));
  EXPECT_GT(found.at("arms").size(), 40u);
  expect_the_long_way(found, TaskVector::open((dir_ / "v.safetensors").string()));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "target"), before));
}

TEST_F(Ablate, ScoresArmsOfADifferenceOfTwoBfloat16ModelsAlike) {
  write_family(at::kBFloat16);
  const json found =
      report(joined(joined({"ablate", "target", "tuned - base"}, kTasks), kEverything));
  EXPECT_EQ(arm_of(found, "vector").at("realised").at("elements"),
            arm_of(found, "negated").at("realised").at("elements"));
  expect_the_long_way(found, Checkpoint::open((dir_ / "tuned").string()) -
                                 Checkpoint::open((dir_ / "base").string()));
}

// The same by the commands: `selection` and `scale` are what `--only` and `--scale` take.
TEST_F(Ablate, SaysHowInjectMakesAnArm) {
  const json found = report(joined({"ablate", "target", "v.safetensors"}, kTasks));
  for (const char* name : {"without layer=1", "without outside the layers", "negated"}) {
    const json& arm = arm_of(found, name);
    ASSERT_TRUE(
        ended_with(run({"inject", "target", "v.safetensors", "-o", "arm", "--force", "--quiet",
                        "--only", arm.at("selection"), "--scale", arm.at("scale").dump()}),
                   0));
    const json scores = report(joined({"eval", "arm", "--score-targets"}, kTasks));
    std::size_t compared = 0;
    for (const json& task : scores.at("tasks")) {
      for (const json& metric : task.at("metrics")) {
        for (const json& own : arm.at("metrics")) {
          if (own.at("task") != task.at("task") || own.at("metric") != metric.at("metric"))
            continue;
          EXPECT_EQ(own.at("value"), metric.at("value")) << name << " " << metric;
          ++compared;
        }
      }
    }
    EXPECT_GE(compared, 4u);
  }
}

// --- What is told -----------------------------------------------------------------------------

TEST_F(Ablate, WritesJsonAndCsvWithWhatTheyPromise) {
  const Outcome outcome =
      run({"ablate", "target", "v.safetensors", "--task", "choice.jsonl", "--random-seeds", "1",
           "-o", "out", "--json", "copy.json", "--quiet"});
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_EQ(outcome.out + outcome.err, "");
  const std::string text = test::read_file(dir_ / "out/results.json");
  EXPECT_EQ(test::read_file(dir_ / "copy.json"), text);
  const json found = json::parse(text);
  EXPECT_EQ(found.at("schema"), "suture.ablation/1");
  for (const char* key : {"command", "vector", "vector_digest", "outside_evaluator", "model",
                          "model_digest", "tokenizer_digest", "dtype", "device", "limit"})
    EXPECT_TRUE(found.at("protocol").contains(key)) << key;
  EXPECT_FALSE(found.at("protocol").contains("seconds"));
  EXPECT_EQ(found.at("tasks").at(0).at("scored_records"), 3);
  const json& arm = arm_of(found, "without layer=1");
  EXPECT_EQ(arm.at("reference"), "vector");
  EXPECT_EQ(arm.at("family"), "without layer");
  EXPECT_EQ(arm.at("selection"), "!layer=1");
  const json& effect = arm.at("metrics").at(0).at("effect");
  for (const char* key : {"reference_value", "difference", "standard_error", "interval_95", "p",
                          "p_holm", "gained", "lost", "non_finite", "smallest_detectable"})
    EXPECT_TRUE(effect.contains(key)) << key;

  const auto rows = test::csv_rows(test::read_file(dir_ / "out/results.csv"));
  std::size_t metrics = 0;
  for (const json& one : found.at("arms")) metrics += one.at("metrics").size();
  EXPECT_EQ(rows.size(), metrics + 1);
  for (const auto& row : rows) EXPECT_EQ(row.size(), rows.front().size());
}

TEST_F(Ablate, KeepsStdoutCleanForData) {
  const Outcome as_json = run(few({"--json", "-"})), as_csv = run(few({"--csv", "-"}));
  ASSERT_TRUE(ended_with(as_json, 0));
  ASSERT_TRUE(ended_with(as_csv, 0));
  EXPECT_TRUE(json::accept(as_json.out));
  EXPECT_EQ(test::csv_rows(as_csv.out).front().front(), "arm");
  EXPECT_TRUE(holds(as_csv.err, "without layer=1"));  // an arm's line goes to stderr
}

TEST_F(Ablate, ShowsEveryArmInEightyColumns) {
  for (const Words& more : {Words{}, Words{"--ascii"}}) {
    test::Invocation call = invocation(
        joined({"ablate", "target", "v.safetensors", "--task", "text.jsonl", "--by", "layer,module",
                "--arm",
                "name='model.layers.*.self_attn.q_proj.weight' | layer=0 | block=mlp & layer=1-2"},
               more));
    call.environment["LC_ALL"] = "C.UTF-8";
    const Outcome outcome = run_program(call);
    ASSERT_TRUE(ended_with(outcome, 0));
    for (const char* part : {"target", "vector", "negated", "random seed=2", "permuted seed=0",
                             "layer=0", "layer=2", "outside the layers", "module=q_proj"})
      EXPECT_TRUE(holds(outcome.out, part));
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line);) {
      const auto is_first_byte = [](char c) { return (c & 0xC0) != 0x80; };
      EXPECT_LE(std::count_if(line.begin(), line.end(), is_first_byte), 80) << line;
    }
    const auto is_ascii = [](unsigned char c) { return c < 128; };
    EXPECT_EQ(std::all_of(outcome.out.begin(), outcome.out.end(), is_ascii), !more.empty());
  }
}

TEST_F(Ablate, DoesWithoutControlsAndWhatNobodyIsComparedWith) {
  const json only = report(few({"--design", "only-one"}));
  const Words names = arm_names(only);
  EXPECT_EQ(names, (Words{"target", "only layer=0", "only layer=1", "only layer=2",
                          "only outside the layers"}));
  const json none = report({"ablate", "target", "v.safetensors", "--task", "choice.jsonl",
                            "--random-seeds", "0", "--permutations", "0", "--design", "none"});
  EXPECT_EQ(arm_names(none), (Words{"target", "vector", "negated"}));
}

TEST_F(Ablate, DryRunShowsTheArmsAndWritesNothing) {
  const auto before = tree_of(dir_.path());
  const Outcome outcome = run(few({"-o", "out", "--dry-run"}));
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.out, "without layer=2"));
  EXPECT_TRUE(same_tree(tree_of(dir_.path()), before));
}

TEST_F(Ablate, ShowsAndWritesResultsThoughTheOtherFails) {
  test::Invocation call = invocation(few({"-o", "out", "--json", "out.json"}));
  call.closed = {1};
  const Outcome outcome = run_program(call);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_TRUE(holds(outcome.err, "stdout: cannot be written"));
  EXPECT_TRUE(fs::exists(dir_ / "out/results.json"));
  EXPECT_EQ(test::read_file(dir_ / "out.json"), test::read_file(dir_ / "out/results.json"));
}

// What is said must not land in a file that got the number of a stream that is closed.
TEST_F(Ablate, WritesWhatItWritesWithoutStreams) {
  test::Invocation call = invocation(few({"-o", "closed"}));
  call.closed = {0, 1, 2};
  EXPECT_EQ(run_program(call).status, 2);
  ASSERT_TRUE(ended_with(run(few({"-o", "open"})), 0));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "closed"), tree_of(dir_ / "open")));
}

// --- What is refused --------------------------------------------------------------------------

TEST_F(Ablate, RefusesWhatItCannotTakeApart) {
  const Words start{"ablate", "target", "v.safetensors"};
  EXPECT_TRUE(was_refused(run(start), "--task"));
  EXPECT_TRUE(was_refused(run(few({"--design", "only-on"})), "did you mean 'only-one'?"));
  EXPECT_TRUE(was_refused(run(few({"--by", "layers"})), "did you mean 'layer'?"));
  EXPECT_TRUE(was_refused(run(few({"--design", "none"})), "nothing to compare"));
  EXPECT_TRUE(was_refused(run(few({"--arm", "layer=99"})), "layers 0 to 2"));
  EXPECT_TRUE(was_refused(run(few({"--arm", "module=q_prj"})), "did you mean 'q_proj'"));
  EXPECT_TRUE(was_refused(run(few({"--arm", "layer=1", "--arm", "layer=1"})), "twice"));
  EXPECT_TRUE(was_refused(run(few({"--scale", "0"})), "a scale of 0"));
  EXPECT_TRUE(
      was_refused(run({"ablate", "v.safetensors", "v.safetensors", "--task", "choice.jsonl"}),
                  "a task vector"));
  EXPECT_TRUE(was_refused(run({"ablate", "target", "tuned", "--task", "choice.jsonl"}),
                          "not a task vector"));
}

TEST_F(Ablate, DoesWithoutOtherOrdersWhereLayersCannotChangePlaces) {
  const Words part{"ablate",
                   "target",
                   "v.safetensors",
                   "--task",
                   "choice.jsonl",
                   "--only",
                   "layer=0 & block=mlp | layer=1"};
  const Words names = arm_names(report(part));
  EXPECT_EQ(std::count(names.begin(), names.end(), "permuted seed=0"), 0);
  EXPECT_EQ(std::count(names.begin(), names.end(), "random seed=0"), 1);
}

TEST_F(Ablate, SaysThatModelsAreNotFitForEachOther) {
  test::write_byte_model(dir_ / "wide", testing_support::tiny_weights(at::kFloat, 310));
  const Outcome outcome =
      run({"ablate", "wide", "v.safetensors", "--task", "choice.jsonl", "-o", "out"});
  EXPECT_TRUE(ended_with(outcome, 1));
  EXPECT_TRUE(holds(outcome.err, "vocabulary"));
  EXPECT_EQ(outcome.out, "");
  EXPECT_FALSE(fs::exists(dir_ / "out"));
}

TEST_F(Ablate, RefusesAnOutputThatIsNotItsOwn) {
  test::write_file(dir_ / "file", "x");
  test::write_file(dir_ / "letters/love.txt", "dear");
  const auto before = tree_of(dir_.path());
  EXPECT_TRUE(was_refused(run(few({"-o", "file"})), "holds no results"));
  EXPECT_TRUE(was_refused(run(few({"-o", "letters", "--force"})), "holds no results"));
  EXPECT_TRUE(was_refused(run(few({"-o", "target", "--force"})), "holds no results"));
  EXPECT_TRUE(was_refused(run(few({"-o", "no/such"})), "no/such"));
  EXPECT_TRUE(was_refused(run(few({"-o", "same", "--json", "same"})), "named by both"));
  EXPECT_TRUE(same_tree(tree_of(dir_.path()), before));
}

TEST_F(Ablate, SaysWhichScoreIsNoNumber) {
  StateDict weights = testing_support::tiny_weights(at::kFloat, test::kByteVocab);
  weights.at("model.norm.weight").fill_(std::numeric_limits<float>::quiet_NaN());
  test::write_byte_model(dir_ / "broken", weights);
  const Outcome outcome = run({"ablate", "broken", "v.safetensors", "--task", "choice.jsonl",
                               "--quiet", "--allow", "kinship"});
  EXPECT_TRUE(was_refused(outcome, "not a number"));
}

}  // namespace
}  // namespace suture
