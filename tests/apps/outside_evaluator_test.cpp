// `--eval-cmd`: arms that a program outside scores.

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/state_dict.h"

#include "support/language_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::arm_of;
using test::ended_with;
using test::holds;
using test::joined;
using test::Outcome;
using test::RunningProgram;
using test::same_tree;
using test::tree_of;
using test::was_refused;

using Words = std::vector<std::string>;

class OutsideEvaluator : public test::LanguageFamily {
 protected:
  // Of two arms: the target, and the vector on one layer.
  static Words by(const std::string& command, const Words& more = {}) {
    return joined({"ablate", "target", "v.safetensors", "--no-controls", "--design", "none",
                   "--arm", "layer=1", "-o", "out", "--quiet", "--eval-cmd", command},
                  more);
  }

  Words lines_of(const std::string& name) const {
    std::ifstream file(dir_ / name);
    Words lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
};

TEST_F(OutsideEvaluator, MayTellANumberScoresOrRecords) {
  json found = report(by("echo first; echo ' 0.5 '"));
  const json& score = arm_of(found, "target").at("metrics").at(0);
  EXPECT_EQ(score.at("task"), "eval-cmd");
  EXPECT_EQ(score.at("metric"), "score");
  EXPECT_EQ(score.at("value"), 0.5);
  EXPECT_TRUE(score.at("records").empty());
  EXPECT_EQ(found.at("protocol").at("outside_evaluator"), "echo first; echo ' 0.5 '");
  EXPECT_TRUE(found.at("tasks").empty());

  found = report(by(R"(echo '{"acc": [1, 0, 1, 1], "loss": 2.25}')", {"--force"}));
  const json& metrics = arm_of(found, "selection layer=1").at("metrics");
  EXPECT_EQ(metrics.at(0).at("value"), 0.75);
  EXPECT_EQ(metrics.at(0).at("is_share"), true);
  EXPECT_EQ(metrics.at(0).at("effect").at("difference"), 0);
  EXPECT_EQ(metrics.at(1).at("value"), 2.25);
  EXPECT_TRUE(metrics.at(1).at("effect").at("p").is_null());
  EXPECT_EQ(test::entries_of(dir_ / "out"), (Words{"arms.jsonl", "results.csv", "results.json"}));
}

TEST_F(OutsideEvaluator, GetsWhatInjectWritesForEveryArm) {
  const auto before = tree_of(dir_ / "target");
  const std::string command =
      "mkdir -p kept; cp {model}/model.safetensors kept/$(ls kept | wc -l).safetensors; "
      "grep '\"arm\"' {model}/suture.json | cut -d'\"' -f4 >> names; cmp -s target/tokenizer.json "
      "{model}/tokenizer.json && echo 1";
  const json found = report({"ablate", "target", "v.safetensors", "--random-seeds", "0",
                             "--permutations", "0", "-o", "out", "--quiet", "--eval-cmd", command});
  const Words names = lines_of("names");
  EXPECT_EQ(names.size(), found.at("arms").size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const json& arm = arm_of(found, names[i]);
    ASSERT_TRUE(
        ended_with(run({"inject", "target", "v.safetensors", "-o", "arm", "--force", "--quiet",
                        "--only", arm.at("selection"), "--scale", arm.at("scale").dump()}),
                   0));
    const StateDict expected = load((dir_ / "arm").string());
    const StateDict kept = load((dir_ / "kept" / (std::to_string(i) + ".safetensors")).string());
    ASSERT_EQ(kept.size(), expected.size());
    for (const auto& [name, tensor] : expected)
      EXPECT_TRUE(at::equal(tensor, kept.at(name))) << names[i] << ": " << name;
  }
  EXPECT_TRUE(same_tree(tree_of(dir_ / "target"), before));
}

// A file for each tensor tells by its time whether it was written.
TEST_F(OutsideEvaluator, SeesOnlyChangedTensorsWritten) {
  SaveOptions split;
  split.max_shard_bytes = 1;
  const StateDict weights = load((dir_ / "target").string());
  save(weights, (dir_ / "split").string(), split);
  for (const char* file : {"config.json", "tokenizer.json", "tokenizer_config.json"})
    fs::copy_file(dir_ / "target" / file, dir_ / "split" / file);
  ASSERT_TRUE(ended_with(run({"ablate", "split", "v.safetensors", "--no-controls", "--design",
                              "only-one", "-o", "out", "--quiet", "--eval-cmd",
                              "stat -c '%n %y' {model}/*.safetensors | sort > now; [ -e last ] && "
                              "diff now last | grep -c '^<' >> written; mv now last; echo 1"}),
                         0));
  // A layer has 12 tensors and is put in while the one before it is taken out; outside are 3. The
  // target comes between two layers.
  Words written = lines_of("written");
  std::sort(written.begin(), written.end());
  EXPECT_EQ(written, (Words{"12", "12", "15", "24"}));
}

TEST_F(OutsideEvaluator, MayHaveAFolderOfAnyName) {
  const std::string folder = "it's a \"$(touch oops)\" {model}";
  Words arguments = by("test -f {model}/config.json && test {model} = {model} && echo 1");
  *std::find(arguments.begin(), arguments.end(), "out") = folder;
  ASSERT_TRUE(ended_with(run(arguments), 0));
  EXPECT_EQ(test::entries_of(dir_ / folder), (Words{"arms.jsonl", "results.csv", "results.json"}));
  EXPECT_FALSE(fs::exists(dir_ / "oops"));
}

TEST_F(OutsideEvaluator, ThatTellsNoScoresIsRefused) {
  const std::vector<std::pair<std::string, std::string>> commands{
      {"exit 3", "ended with status 3"},
      {"true", "no output"},
      {"echo rubbish", "the last line 'rubbish'"},
      {"printf 'a\\033[31m\\001'", "\\x1B"},
      {"echo 1e999", "'1e999'"},
      {"echo '{\"acc\": []}'", "no record of 'acc'"},
      {"echo '{\"acc\": [true]}'", "a score that is no number"},
      {"echo 1; exit 1", "ended with status 1"}};
  for (const auto& [command, named] : commands) {
    EXPECT_TRUE(was_refused(run(by(command, {"--force"})), named)) << command;
    EXPECT_EQ(test::entries_of(dir_ / "out"), (Words{"arms.jsonl"})) << command;
  }
}

// It would not notice that nobody reads any more if it did not get SIGPIPE.
TEST_F(OutsideEvaluator, ThatNeverEndsToWriteIsRefused) {
  EXPECT_TRUE(was_refused(run(by("while :; do head -c 10000000 /dev/zero; done")), "more output"));
}

TEST_F(OutsideEvaluator, ThatTellsOtherThingsOfAnArmIsRefusedAndGoneOnWith) {
  const std::string command =
      "if [ -e good ]; then echo '{\"acc\": [1, 1]}'; else "
      "if [ -e second ]; then echo '{\"acc\": [1]}'; else "
      "touch second; echo '{\"acc\": [1, 0]}'; fi; fi";
  EXPECT_TRUE(was_refused(run(by(command)), "2 records"));
  test::write_file(dir_ / "good", "");
  EXPECT_TRUE(ended_with(run(by(command)), 0));
}

TEST_F(OutsideEvaluator, GoesOnAfterAKillWhateverItLeft) {
  const std::string command = "echo x >> calls; [ $(wc -l < calls) = 2 ] && kill -9 $PPID; echo 1";
  EXPECT_EQ(run(by(command)).signal, SIGKILL);
  EXPECT_TRUE(fs::exists(dir_ / "out/model/config.json"));
  fs::remove(dir_ / "out/model/model.safetensors");  // as if it was killed while it removed it
  ASSERT_TRUE(ended_with(run(by(command)), 0));
  EXPECT_EQ(lines_of("calls").size(), 3u);
  EXPECT_FALSE(fs::exists(dir_ / "out/model"));
  ASSERT_TRUE(ended_with(run(by(command)), 0));
  EXPECT_EQ(lines_of("calls").size(), 3u);
}

// The second run must not take the first one's model away.
TEST_F(OutsideEvaluator, IsLeftAloneByASecondRun) {
  RunningProgram first(
      invocation(by("touch ready; until [ -e go ]; do sleep 0.01; done; test -f "
                    "{model}/model.safetensors && echo 1")));
  for (int i = 0; i < 3000 && !fs::exists(dir_ / "ready"); ++i) ::usleep(10'000);
  for (const Words& more : {Words{}, Words{"--force"}})
    EXPECT_TRUE(was_refused(run(by("touch ready; until [ -e go ]; do sleep 0.01; done; test -f "
                                   "{model}/model.safetensors && echo 1",
                                   more)),
                            "another process"));
  test::write_file(dir_ / "go", "");
  EXPECT_TRUE(ended_with(first.wait(), 0));
}

TEST_F(OutsideEvaluator, IsStoppedWithTheProgram) {
  for (const int signal : {SIGINT, SIGTERM}) {
    fs::remove(dir_ / "ready");
    RunningProgram running(
        invocation(by("echo $$ > pid; touch ready; sleep 600; echo 1", {"--force"})));
    for (int i = 0; i < 3000 && !fs::exists(dir_ / "ready"); ++i) ::usleep(10'000);
    running.send(signal);
    const Outcome outcome = running.wait();
    EXPECT_TRUE(ended_with(outcome, 128 + signal));
    EXPECT_TRUE(holds(outcome.err, "interrupted"));
    EXPECT_EQ(test::entries_of(dir_ / "out"), (Words{"arms.jsonl"}));
    EXPECT_NE(::kill(std::stoi(lines_of("pid").at(0)), 0), 0);
  }
}

TEST_F(OutsideEvaluator, WantsAFolderAndNoTask) {
  const auto before = tree_of(dir_.path());
  EXPECT_TRUE(was_refused(run({"ablate", "target", "v.safetensors", "--eval-cmd", "echo 1"}),
                          "--eval-cmd without -o"));
  EXPECT_TRUE(was_refused(run(by("echo 1", {"--task", "text.jsonl"})), "--task and --eval-cmd"));
  Words inside = by("echo 1");
  *std::find(inside.begin(), inside.end(), "out") = "target/out";
  EXPECT_TRUE(was_refused(run(inside), "inside the input"));
  EXPECT_TRUE(same_tree(tree_of(dir_.path()), before));
}

// The place for the arms' models may hold the very model that is taken apart.
TEST_F(OutsideEvaluator, DoesNotWriteOverTheTarget) {
  ASSERT_TRUE(ended_with(run(by("echo 1")), 0));
  fs::rename(dir_ / "target", dir_ / "out/model");
  const auto before = tree_of(dir_ / "out");
  Words arguments = by("echo 1", {"--force"});
  arguments[1] = "out/model";
  EXPECT_TRUE(was_refused(run(arguments), "the output is the input"));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), before));
}

}  // namespace
}  // namespace suture
