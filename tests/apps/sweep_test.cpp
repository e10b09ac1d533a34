// `suture sweep`, run as its users run it.

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

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

class Sweep : public test::LanguageFamily {
 protected:
  static Words over(const std::string& scales, const Words& more = {}) {
    return joined({"sweep", "target", "v.safetensors", "--task", "text.jsonl", "--scales", scales},
                  more);
  }
};

TEST_F(Sweep, ScoresEachScaleAsTheInjectedModelIsScored) {
  const json found =
      report(joined(over("-0.5,0,2", {"--no-controls"}), {"--task", "choice.jsonl"}));
  EXPECT_EQ(arm_names(found), (Words{"target", "scale=-0.5", "scale=2"}));
  for (const char* scale : {"-0.5", "2"}) {
    ASSERT_TRUE(ended_with(run({"inject", "target", "v.safetensors@" + std::string(scale), "-o",
                                "injected", "--force", "--quiet"}),
                           0));
    const json scores = report({"eval", "injected", "--task", "choice.jsonl"});
    const json& accuracy = scores.at("tasks").at(0).at("metrics").at(0);
    for (const json& metric : arm_of(found, "scale=" + std::string(scale)).at("metrics"))
      if (metric.at("task") == "choice" && metric.at("metric") == accuracy.at("metric")) {
        EXPECT_EQ(metric.at("value"), accuracy.at("value"));
      }
    const json again = report(joined({"ablate", "injected", "v.safetensors", "--design", "none",
                                      "--random-seeds", "0", "--permutations", "0"},
                                     {"--task", "text.jsonl", "--task", "choice.jsonl"}));
    for (std::size_t i = 0; i < again.at("arms").at(0).at("metrics").size(); ++i)
      EXPECT_EQ(again.at("arms").at(0).at("metrics").at(i).at("records"),
                arm_of(found, "scale=" + std::string(scale)).at("metrics").at(i).at("records"));
  }
}

TEST_F(Sweep, TakesControlsAtTheLargestScaleAndSeedsMoveOnlyThem) {
  const json first = report(over("0.5,-2", {"--random-seeds", "1"}));
  EXPECT_EQ(arm_names(first), (Words{"target", "scale=0.5", "scale=-2", "negated", "random seed=0",
                                     "permuted seed=0"}));
  EXPECT_EQ(arm_of(first, "negated").at("scale"), 2);
  EXPECT_EQ(arm_of(first, "random seed=0").at("scale"), -2);
  const json second = report(over("0.5,-2", {"--random-seeds", "1", "--seed", "9"}));
  for (const char* name : {"target", "scale=0.5", "scale=-2", "negated"})
    EXPECT_EQ(arm_of(first, name), arm_of(second, name));
  EXPECT_NE(arm_of(first, "random seed=0").at("metrics").at(0).at("records"),
            arm_of(second, "random seed=9").at("metrics").at(0).at("records"));
  // An opposite that is swept is not scored twice.
  EXPECT_EQ(arm_names(report(over("1,-1", {"--random-seeds", "0", "--permutations", "0"}))),
            (Words{"target", "scale=1", "scale=-1"}));
}

TEST_F(Sweep, TakesSeveralVectorsAndPartsOfThem) {
  const json found = report({"sweep", "target", "v.safetensors@0.5", "tuned - base@0.25", "--only",
                             "layer=1", "--scales", "1", "--task", "text.jsonl", "--no-controls"});
  EXPECT_TRUE(holds(found.at("protocol").at("vector"), "0.25"));
  ASSERT_TRUE(ended_with(run({"inject", "target", "v.safetensors@0.5", "tuned - base@0.25",
                              "--only", "layer=1", "-o", "injected", "--quiet"}),
                         0));
  const json again = report({"sweep", "injected", "v.safetensors", "--scales", "1", "--task",
                             "text.jsonl", "--no-controls"});
  EXPECT_EQ(arm_of(found, "scale=1").at("metrics").at(0).at("records"),
            arm_of(again, "target").at("metrics").at(0).at("records"));
}

TEST_F(Sweep, WritesTheSameFilesAgainAndGoesOnWithFewerArms) {
  const auto before = tree_of(dir_ / "target");
  ASSERT_TRUE(ended_with(run(over("1,2", {"--no-controls", "-o", "out"})), 0));
  const auto whole = tree_of(dir_ / "out");
  const std::string& journal = whole.at("arms.jsonl");
  fs::remove(dir_ / "out/results.json");
  test::write_file(dir_ / "out/arms.jsonl", journal.substr(0, journal.size() - 9));
  const Outcome outcome = run(over("1,2", {"--no-controls", "-o", "out"}));
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_FALSE(holds(outcome.err, "target  "));
  EXPECT_TRUE(holds(outcome.out, "scale=2"));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), whole));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "target"), before));
  EXPECT_TRUE(was_refused(run(over("1,3", {"--no-controls", "-o", "out"})), "another run"));
  EXPECT_EQ(test::csv_rows(whole.at("results.csv")).size() % 3, 1u);
}

TEST_F(Sweep, RefusesScalesThatSayNothing) {
  EXPECT_TRUE(was_refused(
      run({"sweep", "target", "v.safetensors", "--task", "text.jsonl", "--no-controls"}),
      "--scales"));
  for (const auto& [scales, named] :
       std::vector<std::pair<std::string, std::string>>{{"some", "'some'"},
                                                        {"1,,2", "a finite number"},
                                                        {"1,nan", "'nan'"},
                                                        {"1e400", "'1e400'"},
                                                        {"1,2,1.0", "'scale=1' twice"},
                                                        {"0", "only the scale 0"}})
    EXPECT_TRUE(was_refused(run(over(scales, {"-o", "out"})), named)) << scales;
  EXPECT_FALSE(fs::exists(dir_ / "out"));
}

}  // namespace
}  // namespace suture
