// `--dry-run` and `--explain`, run as their users run them.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/checkpoint.h"

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

// A vector of one changed tensor, dense and sparse, in a model of which the rest stays.
class SparseDryRun : public DryRun {
 protected:
  SparseDryRun() {
    StateDict near = base_.clone();
    near.at(kUp)[2][3] += 1;
    test::write_model(dir_ / "near", model_, near);
    make({"extract", "near", "base", "-o", "dense.safetensors", "-q"});
    make({"extract", "near", "base", "-o", "sparse.safetensors", "--sparse", "-q"});
  }

  nlohmann::json json_of(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--json", "-"});
    const Outcome outcome = run(arguments);
    EXPECT_TRUE(ended_with(outcome, 0));
    return nlohmann::json::parse(outcome.out);
  }

  // The same command dry and real, as JSON.
  std::pair<nlohmann::json, nlohmann::json> dry_and_real(std::vector<std::string> arguments) const {
    nlohmann::json real = json_of(arguments);
    arguments.insert(arguments.end(), {"--force", "--dry-run"});
    return {json_of(arguments), std::move(real)};
  }

  static constexpr const char* kUp = "model.layers.1.mlp.up_proj.weight";
};

TEST_F(SparseDryRun, BytesReadAreThoseOfTheRealRun) {
  std::uint64_t read[2] = {};
  for (const std::string vector : {"dense", "sparse"}) {
    const auto [dry, real] =
        dry_and_real({"inject", "target", vector + ".safetensors", "-o", "out-" + vector});
    EXPECT_EQ(dry.at("plan").at("bytes_to_read"), real.at("bytes_read"));
    EXPECT_EQ(dry.at("bytes_read"), real.at("bytes_read"));
    read[vector == "sparse"] = real.at("bytes_read");
    const std::uint64_t target = Checkpoint::open((dir_ / "target").string()).total_bytes();
    const std::uint64_t stored =
        Checkpoint::open((dir_ / (vector + ".safetensors")).string()).total_bytes();
    EXPECT_EQ(read[vector == "sparse"], target + stored) << vector;
  }
  EXPECT_LT(read[1], read[0]);
}

TEST_F(SparseDryRun, ExplainsTheParts) {
  const auto explain = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"inject", "target",    "sparse.safetensors", "-o",
                                       "new",    "--dry-run", "--explain",          kUp};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments).out;
  };
  EXPECT_TRUE(holds(explain({}), std::string(kUp) + ".suture_bitmap: sparse.safetensors, bytes "));
  const auto plan = nlohmann::json::parse(explain({"--json", "-"})).at("plan");
  const auto operand = plan.at("tensors").at(0).at("terms").at(0).at("minuend");
  EXPECT_FALSE(operand.contains("file"));
  const Checkpoint stored = Checkpoint::open((dir_ / "sparse.safetensors").string());
  std::uint64_t bytes = 0;
  ASSERT_EQ(operand.at("parts").size(), 3u);
  for (const auto& part : operand.at("parts")) {
    const TensorInfo* tensor = stored.find(part.at("name").get<std::string>());
    ASSERT_NE(tensor, nullptr) << part;
    EXPECT_EQ(part.at("first_byte"), tensor->offset);
    EXPECT_EQ(part.at("bytes"), tensor->bytes);
    bytes += tensor->bytes;
  }
  EXPECT_EQ(operand.at("bytes"), bytes);
}

TEST_F(SparseDryRun, OfAnExtractionTellsFactsBoundsAndForecastsApart) {
  for (const std::string kind : {"dense", "sparse"}) {
    std::vector<std::string> arguments{"extract", "near", "base", "-o", kind + "2.safetensors"};
    if (kind == "sparse") arguments.push_back("--sparse");
    const auto [dry, real] = dry_and_real(arguments);
    EXPECT_EQ(dry.at("plan").at("bytes_to_read"), real.at("bytes_read")) << kind;
    EXPECT_EQ(dry.at("bytes_read"), real.at("bytes_read")) << kind;
    for (const char* key : {"norm", "base_norm", "changed_elements", "inexact_elements",
                            "widened_tensors", "sparse_tensors", "bytes_written"}) {
      EXPECT_TRUE(dry.at(key).is_null()) << key;
      EXPECT_FALSE(real.at(key).is_null()) << key;
    }
    EXPECT_EQ(dry.at("dtypes_are_forecast"), true);
    EXPECT_FALSE(real.contains("dtypes_are_forecast"));
    const auto& plan = dry.at("plan");
    EXPECT_EQ(plan.at("sizes_are_forecast"), true);
    EXPECT_EQ(plan.at("bytes_to_write").is_null(), kind == "sparse");
    EXPECT_EQ(plan.at("files").at(0).at("bytes").is_null(), kind == "sparse");
    EXPECT_EQ(plan.at("tensors").at(0).at("bytes").is_null(), kind == "sparse");
    EXPECT_EQ(plan.at("tensors").at(0).at("dtype_is_forecast"), true);
    EXPECT_GE(plan.at("bytes_to_write_at_most"),
              std::filesystem::file_size(dir_ / (kind + "2.safetensors")));
  }
  const Outcome shown =
      run({"extract", "near", "base", "-o", "new.safetensors", "--sparse", "--dry-run"});
  EXPECT_TRUE(holds(shown.out, "known after the first pass"));
  EXPECT_TRUE(holds(shown.out, "at most"));
  EXPECT_TRUE(holds(shown.err, "tensors, at most "));
  EXPECT_TRUE(holds(shown.err, "by a sample, likely stored as"));
}

TEST_F(SparseDryRun, AGivenDtypeIsNoForecast) {
  const auto dry = json_of({"extract", "near", "base", "-o", "new", "--dtype", "f32", "--dry-run"});
  EXPECT_EQ(dry.at("dtypes_are_forecast"), false);
  EXPECT_EQ(dry.at("plan").at("sizes_are_forecast"), false);
}

}  // namespace
}  // namespace suture
