// Models that are one under several names, through the program.

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/model_family.h"
#include "support/other_names.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::ended_with;
using test::holds;
using test::Outcome;

class Names : public test::ModelFamily {
 protected:
  Names() {
    for (const char* role : {"base", "tuned", "target"}) {
      const StateDict weights = load((dir_ / role).string());
      test::write_model(dir_ / ("fused-" + std::string(role)), model_,
                        test::named(weights, {"language_model.model.", true}));
    }
    begin_here();
  }

  StateDict weights(const std::string& name) const { return load((dir_ / name).string()); }
};

constexpr const char* kRules =
    "language_model.model.* -> model.* (16 tensors), gate_up_proj -> gate_proj + up_proj (2 "
    "layers), "
    "qkv_proj -> q_proj + k_proj + v_proj (2 layers)";

TEST_F(Names, AreSaidByCheck) {
  const Outcome text = run({"check", "base", "fused-tuned"});
  ASSERT_TRUE(ended_with(text, 0));
  EXPECT_TRUE(
      holds(text.out, std::string("fused-tuned is read under the names of base: ") + kRules));
  const Outcome outcome = run({"check", "base", "fused-tuned", "--json", "-"});
  ASSERT_TRUE(ended_with(outcome, 0));
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["findings"][0]["topic"], "names");
  EXPECT_EQ(json["findings"][0]["severity"], "warning");
  EXPECT_EQ(json["names"][0]["model"], "fused-tuned");
  EXPECT_EQ(json["names"][0]["rules"].size(), 3u);
  EXPECT_GT(json["kinship"][0]["relative_distance"], 0);
  EXPECT_LT(json["kinship"][0]["relative_distance"], 0.1);
  const Outcome plain = run({"check", "base", "tuned", "--json", "-"});
  EXPECT_FALSE(nlohmann::json::parse(plain.out).contains("names"));
}

TEST_F(Names, ThatDifferGiveTheSameModel) {
  ASSERT_TRUE(ended_with(run({"inject", "target", "tuned - base@0.5", "-o", "plain"}), 0));
  ASSERT_TRUE(ended_with(run({"inject", "fused-target", "tuned - base@0.5", "-o", "fused"}), 0));
  EXPECT_TRUE(test::same_bits(weights("fused"),
                              test::named(weights("plain"), {"language_model.model.", true})));
  const Outcome outcome =
      run({"extract", "fused-tuned", "base", "-o", "v.safetensors", "--json", "-"});
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.err, kRules));
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["compatibility"]["names"][0]["under"], "base");
  const Outcome stored =
      run({"inject", "fused-target", "v.safetensors@0.5", "-o", "stored", "--json", "-"});
  ASSERT_TRUE(ended_with(stored, 0));
  EXPECT_TRUE(test::same_bits(weights("stored"), weights("fused")));
  EXPECT_TRUE(holds(stored.err, "is read under the names of fused-target: "));
}

TEST_F(Names, AreExplained) {
  const Outcome outcome = run({"inject", "fused-target", "tuned - base", "-o", "new", "--dry-run",
                               "--explain", "*.1.self_attn.qkv_proj.weight"});
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.out, "tuned: in parts, "));
  EXPECT_TRUE(
      holds(outcome.out,
            "there model.layers.1.self_attn.q_proj.weight + model.layers.1.self_attn.k_proj"));
  EXPECT_TRUE(
      holds(outcome.out, "      model.layers.1.self_attn.v_proj.weight: tuned/model.safetensors"));
  const Outcome rows = run({"inject", "target", "fused-tuned - fused-base", "-o", "new",
                            "--dry-run", "--explain", "model.layers.1.self_attn.k_proj.weight"});
  ASSERT_TRUE(ended_with(rows, 0));
  EXPECT_TRUE(holds(
      rows.out, "there rows 16 to 24 of language_model.model.layers.1.self_attn.qkv_proj.weight"));
  EXPECT_TRUE(nothing_left_behind());
}

TEST_F(Names, OfSingleFilesAreTheirPaths) {
  const Outcome outcome = run({"check", "base/model.safetensors", "fused-tuned/model.safetensors"});
  EXPECT_TRUE(
      holds(outcome.out,
            "fused-tuned/model.safetensors is read under the names of base/model.safetensors"));
}

TEST_F(Names, OfVectorsAreReadAlikeByAnalyze) {
  make_vector();
  make({"extract", "fused-tuned", "fused-base", "-o", "vf.safetensors", "--quiet"});
  for (const auto& [first, second] : {std::pair{"v.safetensors", "vf.safetensors"},
                                      {"vf.safetensors", "v.safetensors"},
                                      {"tuned - base", "fused-tuned - fused-base"}}) {
    const Outcome outcome = run({"analyze", first, second, "--json", "-"});
    ASSERT_TRUE(ended_with(outcome, 0));
    EXPECT_TRUE(holds(outcome.err, std::string(second) + " is read under the names of " + first));
    const auto json = nlohmann::json::parse(outcome.out);
    EXPECT_NEAR(json["pairs"][0]["total"]["cosine"], 1, 1e-12);
    EXPECT_EQ(json["vectors"][0]["total"]["elements"], json["vectors"][1]["total"]["elements"]);
  }
}

TEST_F(Names, OfVectorsAreCheckedAsTheyAre) {
  make_vector();
  test::write_model(dir_ / "strange", model_,
                    test::named(test::make_weights(model_, 9), {"language_model.model.", true}));
  test::write_model(dir_ / "stranger", model_,
                    test::named(test::make_relative(test::make_weights(model_, 9), 8),
                                {"language_model.model.", true}));
  make({"extract", "stranger", "strange", "-o", "s.safetensors", "--quiet"});
  EXPECT_EQ(run({"analyze", "s.safetensors", "--target", "target"}).status, 1);
  EXPECT_EQ(run({"analyze", "v.safetensors", "s.safetensors", "--target", "target"}).status, 1);
}

TEST_F(Names, OfABaseAreReadAsTheVectors) {
  make_vector();
  make({"extract", "fused-tuned", "fused-base", "-o", "vf.safetensors", "--quiet"});
  const auto relative = [&](const std::string& vector, const std::string& base) {
    const Outcome outcome = run({"analyze", vector, "--base", base, "--json", "-"});
    EXPECT_TRUE(ended_with(outcome, 0));
    return nlohmann::json::parse(outcome.out)["vectors"][0]["total"]["relative_norm"].get<double>();
  };
  const double plain = relative("v.safetensors", "base");
  EXPECT_DOUBLE_EQ(relative("v.safetensors", "fused-base"), plain);
  EXPECT_DOUBLE_EQ(relative("vf.safetensors", "base"), plain);
  const Outcome own = run({"analyze", "v.safetensors", "vf.safetensors", "--json", "-"});
  const auto vectors = nlohmann::json::parse(own.out)["vectors"];
  EXPECT_DOUBLE_EQ(vectors[0]["total"]["relative_norm"], plain);
}

TEST_F(Names, ForeseenChangesAreThoseOfTheTargetsTensors) {
  const Outcome outcome =
      run({"analyze", "tuned - base", "--target", "fused-target", "--json", "-"});
  ASSERT_TRUE(ended_with(outcome, 0));
  const auto vector = nlohmann::json::parse(outcome.out)["vectors"][0];
  std::set<std::string> fused;
  for (const auto& tensor : vector["target_tensors"]) {
    EXPECT_GT(tensor["realised"]["elements"], 0);
    fused.insert(tensor["name"].get<std::string>());
  }
  EXPECT_EQ(fused.count("language_model.model.layers.0.self_attn.qkv_proj.weight"), 1u);
}

TEST_F(Names, ThatCouldBeTwoThingsAreRefused) {
  StateDict two = test::named(base_, {"a.", false});
  for (const auto& [name, tensor] : test::named(base_, {"b.", false})) two.set(name, tensor);
  test::write_model(dir_ / "two", model_, two);
  begin_here();
  const Outcome refused = run({"inject", "two", "tuned - base", "-o", "new"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_TRUE(holds(refused.err, "model.* could be a.* or b.*"));
  EXPECT_TRUE(ended_with(run({"check", "two", "base"}), 1));
  EXPECT_TRUE(nothing_left_behind());
}

// A fused model of which one layer keeps its rows in another order.
class Rows : public Names {
 protected:
  Rows() {
    for (const char* role : {"base", "tuned", "target"}) {
      StateDict fused = weights("fused-" + std::string(role));
      const std::string name = "language_model.model.layers.1.self_attn.qkv_proj.weight";
      const at::Tensor whole = fused.at(name);
      const std::int64_t pair = (whole.size(0) - 16) / 2;
      fused.set(name, at::cat({whole.slice(0, 0, 16), whole.slice(0, 16 + pair),
                               whole.slice(0, 16, 16 + pair)}));
      test::write_model(dir_ / ("odd-" + std::string(role)), model_, fused);
    }
    make({"extract", "odd-tuned", "odd-base", "-o", "odd.safetensors", "--quiet"});
    make({"extract", "tuned", "base", "-o", "plain.safetensors", "--quiet"});
  }

  void expect_unlike(std::vector<std::string> arguments, const std::string& where) const {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 1) << outcome.err;
    EXPECT_TRUE(holds(outcome.err + outcome.out, "are unlike theirs: " + where));
    EXPECT_TRUE(holds(outcome.err + outcome.out, "in this order"));
    EXPECT_TRUE(nothing_left_behind());
    arguments.insert(arguments.end(), {"--allow", "kinship", "--dry-run"});
    EXPECT_TRUE(ended_with(run(arguments), 0));
  }
};

constexpr const char* kUnlike =
    "model.layers.1.self_attn.k_proj.weight, model.layers.1.self_attn.v_proj.weight";

TEST_F(Rows, InAnotherOrderAreNotCut) {
  expect_unlike({"extract", "odd-tuned", "base", "-o", "new.safetensors"}, kUnlike);
  expect_unlike({"inject", "target", "odd-tuned - odd-base", "-o", "new"}, kUnlike);
  expect_unlike({"inject", "target", "odd-tuned - base", "-o", "new"}, kUnlike);
  const Outcome checked = run({"check", "base", "odd-tuned"});
  EXPECT_EQ(checked.status, 1);
  EXPECT_TRUE(holds(checked.out, kUnlike));
  const Outcome vector = run({"check", "target", "odd-tuned - odd-base"});
  EXPECT_EQ(vector.status, 1);
  EXPECT_TRUE(holds(vector.out, kUnlike));
  EXPECT_TRUE(ended_with(run({"check", "odd-target", "odd-tuned - odd-base"}), 0));
}

// As a file of another convention has them.
TEST_F(Rows, InAnotherOrderInEveryLayerAreNamedToo) {
  StateDict gates = weights("fused-tuned");
  for (const auto& [name, tensor] : weights("fused-tuned")) {
    if (name.find("gate_up_proj") == std::string::npos) continue;
    const std::int64_t half = tensor.size(0) / 2;
    gates.set(name, at::cat({tensor.slice(0, half), tensor.slice(0, 0, half)}));
  }
  test::write_model(dir_ / "gates", model_, gates);
  for (const auto& [first, second] : {std::pair{"base", "gates"}, {"gates", "base"}}) {
    const Outcome outcome = run({"check", first, second});
    EXPECT_EQ(outcome.status, 1);
    EXPECT_TRUE(holds(outcome.out, "are unlike theirs: ")) << first;
    EXPECT_TRUE(holds(outcome.out, "mlp.gate_proj.weight")) << first;
    EXPECT_EQ(outcome.out.find("different starts"), std::string::npos) << outcome.out;
  }
}

TEST_F(Rows, InAnotherOrderAreNotJoined) {
  expect_unlike({"extract", "tuned", "odd-base", "-o", "new.safetensors"}, kUnlike);
  expect_unlike({"inject", "odd-target", "tuned - base", "-o", "new"}, kUnlike);
}

TEST_F(Rows, InAnotherOrderAreKnownOfAStoredVector) {
  expect_unlike({"inject", "target", "odd.safetensors", "-o", "new"}, kUnlike);
  expect_unlike({"inject", "odd-target", "plain.safetensors", "-o", "new"}, kUnlike);
  EXPECT_TRUE(ended_with(run({"inject", "odd-target", "odd.safetensors", "-o", "new"}), 0));
}

TEST_F(Rows, ThatTheVectorLeavesOutDoNotMatter) {
  EXPECT_TRUE(ended_with(
      run({"inject", "target", "odd-tuned - odd-base", "-o", "new", "--only", "block=mlp"}), 0));
  EXPECT_TRUE(ended_with(
      run({"inject", "target", "odd-tuned - base", "-o", "newer", "--except", "layer=1"}), 0));
}

TEST_F(Rows, OfStoredVectorsAreComparedWithoutTheirWeights) {
  const Outcome outcome = run({"check", "plain.safetensors", "odd.safetensors"});
  EXPECT_TRUE(holds(outcome.out, "odd.safetensors is read under the names of plain.safetensors"));
  EXPECT_EQ(outcome.out.find("different starts"), std::string::npos) << outcome.out;
}

TEST_F(Names, AndVocabulariesMayDifferBoth) {
  test::TinyModel larger = model_;
  larger.vocab = model_.vocab + 4;
  test::write_model(dir_ / "larger", larger,
                    test::named(test::make_weights(larger, 1), {"language_model.model.", false}));
  make_vector();
  const Outcome refused = run({"inject", "larger", "v.safetensors", "-o", "new"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_TRUE(holds(refused.err, "vocabulary: model.embed_tokens.weight") ||
              holds(refused.err, "vocabulary: language_model.model.embed_tokens.weight"));
}

TEST_F(Names, OfOneProjectionUnderTwoAreRefused) {
  StateDict both = weights("target");
  for (const auto& [name, tensor] : test::named(weights("target"), {"model.", true}))
    both.set(name, tensor);
  test::write_model(dir_ / "both", model_, both);
  test::write_model(dir_ / "f-base", model_, test::named(weights("base"), {"model.", true}));
  test::write_model(dir_ / "f-tuned", model_, test::named(weights("tuned"), {"model.", true}));
  begin_here();
  for (const char* vector : {"tuned - base", "f-tuned - f-base"}) {
    const Outcome refused = run({"inject", "both", vector, "-o", "new"});
    EXPECT_EQ(refused.status, 1);
    EXPECT_TRUE(holds(refused.err, "one projection under two names would be half changed"));
    EXPECT_TRUE(nothing_left_behind());
  }
  EXPECT_TRUE(ended_with(
      run({"inject", "both", "tuned - base", "-o", "new", "--allow", "names,tensors"}), 0));
}

TEST_F(Names, OfTwoTowersAreRefused) {
  StateDict both = weights("target");
  for (const auto& [name, tensor] :
       test::named(weights("target"), {"language_model.model.", false}))
    both.set(name, tensor);
  test::write_model(dir_ / "both", model_, both);
  begin_here();
  const Outcome outcome = run({"inject", "both", "tuned - base", "-o", "new"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_TRUE(holds(outcome.err, "both holds all of model.* as language_model.model.* as well"));
  EXPECT_TRUE(nothing_left_behind());
  EXPECT_TRUE(
      ended_with(run({"inject", "both", "tuned - base", "-o", "new", "--allow", "names"}), 0));
}

TEST_F(Names, OfATiedHeadAreForTheUserToSay) {
  test::TinyModel untied = model_;
  untied.tied = false;
  add_model("untied", untied);
  const Outcome refused = run({"inject", "untied", "tuned - base", "-o", "new"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_TRUE(holds(refused.err, "--head embedding"));
  EXPECT_TRUE(ended_with(run({"inject", "untied", "tuned - base", "-o", "new", "--head",
                              "embedding", "--allow", "kinship"}),
                         0));
  EXPECT_FALSE(
      test::same_bits(weights("new").at("lm_head.weight"), weights("untied").at("lm_head.weight")));
  // What is left out of the vector does not matter.
  const Outcome without = run({"inject", "untied", "tuned - base", "-o", "mlp", "--only",
                               "block=mlp", "--head", "embedding", "--allow", "kinship"});
  ASSERT_TRUE(ended_with(without, 0));
  EXPECT_EQ(without.err.find("gets the change of the embedding"), std::string::npos);
  const Outcome wrong = run({"inject", "untied", "tuned - base", "-o", "other", "--head", "both"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_TRUE(holds(wrong.err, "same or embedding"));
}

}  // namespace
}  // namespace suture
