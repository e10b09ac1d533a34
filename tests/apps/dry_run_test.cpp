// `--dry-run` and `--explain`, run as their users run them.

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/model_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::ended_with;
using test::holds;
using test::Outcome;
using test::same_tree;
using test::tree_of;

class DryRun : public test::ModelFamily {
 protected:
  static std::vector<std::string> extract(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"extract", "tuned", "base", "-o", "new", "--dry-run"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  static std::vector<std::string> inject(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"inject", "target", "tuned - base@0.5",
                                       "-o",     "new",    "--dry-run"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

constexpr const char* kNorm = "model.norm.weight";

TEST_F(DryRun, ShowsThePlanOnStdoutAndWritesNothing) {
  const auto before = tree_of(dir_.path());
  for (const auto& arguments : {extract(), inject(), inject({"--quiet"})}) {
    const Outcome outcome = run(arguments);
    EXPECT_TRUE(ended_with(outcome, 0));
    for (const char* part : {"read ", "write ", "disk ", "memory ", "tensors "})
      EXPECT_TRUE(holds(outcome.out, part));
  }
  EXPECT_TRUE(same_tree(tree_of(dir_.path()), before));
  EXPECT_TRUE(nothing_left_behind());
}

TEST_F(DryRun, ExplainsTensors) {
  const Outcome outcome =
      run(inject({"--only", "layer=1", "--explain", kNorm, "--explain", "*1.mlp.up_proj*"}));
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.out, "model.norm.weight: copied as bytes"));
  EXPECT_TRUE(holds(outcome.out, "model.layers.1.mlp.up_proj.weight: computed"));
  EXPECT_TRUE(holds(outcome.out, "  + 0.5 * (tuned - base)\n    tuned: tuned/model.safetensors"));
  EXPECT_EQ(outcome.out.find("layers.0"), std::string::npos) << outcome.out;
}

TEST_F(DryRun, ExplainsWhatIsLeftOut) {
  const Outcome outcome = run(extract({"--except", "module=norm", "--explain", kNorm}));
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.out, "model.norm.weight: left out: not selected"));
}

TEST_F(DryRun, JsonCarriesThePlan) {
  const Outcome outcome = run(inject({"--json", "-"}));
  ASSERT_TRUE(ended_with(outcome, 0));
  const auto plan = nlohmann::json::parse(outcome.out).at("plan");
  EXPECT_EQ(plan.at("tensors").size(), plan.at("tensor_counts").at("computed"));
  EXPECT_EQ(plan.at("inputs").at(0).at("model"), "target");
  std::uint64_t bytes = 0;
  for (const auto& file : plan.at("files")) bytes += file.at("bytes").get<std::uint64_t>();
  EXPECT_EQ(plan.at("bytes_to_write"), bytes);
}

TEST_F(DryRun, JsonCarriesWhatIsExplainedAlone) {
  const Outcome outcome = run(inject({"--json", "-", "--explain", kNorm}));
  ASSERT_TRUE(ended_with(outcome, 0));
  const auto tensors = nlohmann::json::parse(outcome.out).at("plan").at("tensors");
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0].at("name"), kNorm);
  EXPECT_EQ(tensors[0].at("making"), "computed");
  EXPECT_EQ(tensors[0].at("terms").at(0).at("scale"), 0.5);
  EXPECT_EQ(tensors[0].at("terms").at(0).at("subtrahend").at("model"), "base");
  EXPECT_EQ(tensors[0].at("origin").at("file"), "target/model.safetensors");
}

TEST_F(DryRun, ARealRunShowsNoPlan) {
  const Outcome outcome = run({"inject", "target", "tuned - base", "-o", "new"});
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_EQ(outcome.out, "");
  const Outcome json = run({"extract", "tuned", "base", "-o", "v.safetensors", "--json", "-"});
  EXPECT_FALSE(nlohmann::json::parse(json.out).contains("plan"));
}

TEST_F(DryRun, RefusesToExplainWhatIsNotThere) {
  EXPECT_TRUE(refuses(inject({"--explain", "model.nrom.weight"}), "did you mean 'model.norm"));
  EXPECT_TRUE(refuses(extract({"--explain", "*nothing*"}), "no tensor is called"));
  EXPECT_TRUE(refuses(extract({"--explain", "\x1B[2J"}), "no tensor is called"));
  EXPECT_TRUE(refuses({"inject", "target", "tuned - base", "-o", "new", "--explain", kNorm},
                      "add --dry-run"));
}

}  // namespace
}  // namespace suture
