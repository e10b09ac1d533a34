#include "suture/compatibility.h"

#include <algorithm>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/model_trio.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::thrown_by;

// One model `a`, and others that differ from it in one thing.
class Check : public test::ModelTrio {
 protected:
  Check() { test::write_model(dir_ / "a", model_, base_); }

  void add(const std::string& name, const test::TinyModel& model, const StateDict& weights) {
    test::write_model(dir_ / name, model, weights);
  }
  void add_near(const std::string& name, const test::TinyModel& model) {
    add(name, model, test::make_relative(test::make_weights(model, 1), 5));
  }

  // A near relative of `a` whose config says something else.
  void add_with_config(const std::string& name, const std::string& key, const std::string& value) {
    test::TinyModel model = model_;
    model.config[key] = value;
    add(name, model, tuned_);
  }

  Compatibility run(const std::string& first, const std::string& second,
                    const CheckOptions& options = {}) {
    return check({open(first), open(second)}, options);
  }

  std::vector<Finding> of_topic(const Compatibility& compatibility, const std::string& topic) {
    std::vector<Finding> found;
    for (const Finding& finding : compatibility.findings)
      if (finding.topic == topic) found.push_back(finding);
    return found;
  }

  // The only finding is of this topic and severity; gives its text.
  std::string expect_only(const Compatibility& compatibility, const std::string& topic,
                          Severity severity) {
    EXPECT_EQ(compatibility.fit(), severity != Severity::kBlocker);
    std::string text;
    for (const Finding& finding : compatibility.findings) {
      EXPECT_EQ(finding.topic, topic) << finding.found;
      EXPECT_EQ(finding.severity, severity) << finding.found;
      EXPECT_FALSE(finding.found.empty());
      EXPECT_FALSE(finding.meaning.empty());
      text += finding.found + "\n";
    }
    EXPECT_FALSE(text.empty()) << "no finding on " << topic;
    return text;
  }

  CheckOptions allowing(const std::string& topic) {
    CheckOptions options;
    options.allowed.insert(topic);
    return options;
  }
};

TEST_F(Check, RelativesAreFitAndNothingIsSaid) {
  add("b", model_, tuned_);
  const Compatibility found = run("a", "b");
  EXPECT_TRUE(found.fit());
  EXPECT_TRUE(found.findings.empty());
  ASSERT_EQ(found.kinship.size(), 1u);
  EXPECT_EQ(found.kinship[0].first, "b");
  EXPECT_EQ(found.kinship[0].second, "a");
  EXPECT_GT(found.kinship[0].relative_distance, 0);
  EXPECT_LT(found.kinship[0].relative_distance, 0.1);
  EXPECT_GT(found.kinship[0].cosine, 0.99);
}

TEST_F(Check, NeedsTwoModels) {
  thrown_by<UsageError>([&] { check(std::vector<Checkpoint>(), {}); });
  thrown_by<UsageError>([&] { check(std::vector<Checkpoint>{open("a")}, {}); });
}

TEST_F(Check, AppendedReportsSayTheSameOnceAndBlockersFirst) {
  add("b", model_, tuned_);
  add_with_config("c", "architectures", "[\"LlamaForCausalLM\"]");
  Compatibility all = run("a", "b");
  all.add({Severity::kNote, "settings", "a note", "nothing", ""});
  for (int times = 0; times < 2; ++times) {
    all.append(run("a", "c"));
    ASSERT_EQ(all.findings.size(), 2u);
    EXPECT_EQ(all.findings[0].topic, "architecture");
    EXPECT_EQ(all.findings[1].found, "a note");
    EXPECT_EQ(all.kinship.size(), 2u);
    EXPECT_FALSE(all.fit());
  }
}

TEST_F(Check, Architecture) {
  add_with_config("b", "architectures", "[\"LlamaForCausalLM\"]");
  const std::string text = expect_only(run("a", "b"), "architecture", Severity::kBlocker);
  EXPECT_TRUE(holds(text, "Qwen2ForCausalLM in a"));
  EXPECT_TRUE(holds(text, "LlamaForCausalLM in b"));
  EXPECT_TRUE(run("a", "b", allowing("architecture")).fit());
}

TEST_F(Check, Layers) {
  test::TinyModel model = model_;
  model.layers = 2;
  add_near("b", model);
  const auto found = of_topic(run("a", "b"), "layers");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].severity, Severity::kBlocker);
  EXPECT_TRUE(holds(found[0].found, "3 layers in a, 2 layers in b"));
}

TEST_F(Check, Structure) {
  add_with_config("b", "num_key_value_heads", "4");
  const std::string text = expect_only(run("a", "b"), "structure", Severity::kBlocker);
  EXPECT_TRUE(holds(text, "num_key_value_heads: 2 in a, 4 in b"));
}

TEST_F(Check, TensorsOfOneModelOnly) {
  StateDict weights = tuned_;
  weights.set("model.layers.0.self_attn.q_norm.weight", at::ones({4}));
  add("b", model_, weights);
  EXPECT_TRUE(holds(expect_only(run("a", "b"), "tensors", Severity::kBlocker),
                    "only in b: model.layers.0.self_attn.q_norm.weight"));
  EXPECT_TRUE(holds(expect_only(run("b", "a"), "tensors", Severity::kBlocker), "only in b"));
  EXPECT_TRUE(run("a", "b", allowing("tensors")).fit());
}

TEST_F(Check, ShapesAreNeverAllowed) {
  StateDict weights = tuned_;
  weights.set("model.layers.0.self_attn.q_proj.bias", at::zeros({8}, at::kBFloat16));
  add("b", model_, weights);
  const std::string text =
      expect_only(run("a", "b", allowing("shapes")), "shapes", Severity::kBlocker);
  EXPECT_TRUE(holds(text, "model.layers.0.self_attn.q_proj.bias: [16] in a, [8] in b"));
}

TEST_F(Check, AnotherFloatDtypeIsANote) {
  StateDict weights;
  for (const auto& [name, tensor] : tuned_) weights.set(name, tensor.to(at::kFloat));
  add("b", model_, weights);
  EXPECT_TRUE(holds(expect_only(run("a", "b"), "dtypes", Severity::kNote), "BF16 in a, F32 in b"));
}

TEST_F(Check, AFloatAgainstAnIntegerBlocks) {
  StateDict weights = tuned_;
  weights.set("model.norm.weight", at::ones({16}, at::kByte));
  add("b", model_, weights);
  EXPECT_TRUE(
      holds(expect_only(run("a", "b"), "dtypes", Severity::kBlocker), "BF16 in a, U8 in b"));
}

TEST_F(Check, TiedAgainstUntiedEmbeddings) {
  add_with_config("b", "tie_word_embeddings", "false");
  const std::string text = expect_only(run("a", "b"), "tied", Severity::kBlocker);
  EXPECT_TRUE(holds(text, "tied in a, untied in b"));
  EXPECT_TRUE(run("a", "b", allowing("tied")).fit());
}

TEST_F(Check, AStoredTiedHeadIsANote) {
  StateDict weights = tuned_;
  weights.set("lm_head.weight", weights.at("model.embed_tokens.weight"));
  add("b", model_, weights);
  EXPECT_TRUE(holds(expect_only(run("a", "b"), "tied", Severity::kNote), "only b stores the head"));
}

TEST_F(Check, Vocabulary) {
  test::TinyModel model = model_;
  model.vocab = 48;
  add_near("b", model);
  const auto found = of_topic(run("a", "b"), "vocabulary");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].severity, Severity::kBlocker);
  EXPECT_TRUE(holds(found[0].found, "[40, 16] in a, [48, 16] in b"));
  EXPECT_TRUE(holds(found[0].remedy, "--vocab common"));
  EXPECT_FALSE(run("a", "b", allowing("vocabulary")).fit());
  CheckOptions common;
  common.vocabulary = VocabularyPolicy::kCommon;
  const auto mapped = of_topic(run("a", "b", common), "vocabulary");
  ASSERT_EQ(mapped.size(), 1u);
  EXPECT_EQ(mapped[0].severity, Severity::kNote);
}

TEST_F(Check, TokensWithOtherIds) {
  add("b", model_, tuned_);
  std::string text = test::tokenizer_json(40);
  text.replace(text.find("\"t3\":3,\"t4\":4"), 13, "\"t4\":3,\"t3\":4");
  test::write_file(dir_ / "b" / "tokenizer.json", text);
  const std::string found = expect_only(run("a", "b"), "tokenizer", Severity::kBlocker);
  EXPECT_TRUE(holds(found, "2 tokens have other ids"));
  EXPECT_TRUE(holds(found, "'t3' is 3 in a, 4 in b"));
  EXPECT_TRUE(run("a", "b", allowing("tokenizer")).fit());
  CheckOptions common;
  common.vocabulary = VocabularyPolicy::kCommon;
  EXPECT_TRUE(run("a", "b", common).fit());
}

TEST_F(Check, TokensOfOneModelOnlyAreAWarning) {
  add("b", model_, tuned_);
  test::write_file(dir_ / "b" / "tokenizer.json", test::tokenizer_json(38));
  EXPECT_TRUE(holds(expect_only(run("a", "b"), "tokenizer", Severity::kWarning), "2 tokens"));
  EXPECT_TRUE(holds(expect_only(run("b", "a"), "tokenizer", Severity::kWarning), "2 tokens"));
}

TEST_F(Check, OtherTokenizerRulesAreAWarning) {
  add("b", model_, tuned_);
  std::string text = test::tokenizer_json(40);
  text.replace(text.find("\"merges\":[]"), 11, "\"merges\":[\"t 1\"]");
  test::write_file(dir_ / "b" / "tokenizer.json", text);
  EXPECT_TRUE(holds(expect_only(run("a", "b"), "tokenizer", Severity::kWarning), "merges"));
}

TEST_F(Check, TheTokenizersLayoutDoesNotMatter) {
  add("b", model_, tuned_);
  std::string text = test::tokenizer_json(40);
  for (std::size_t at = 0; (at = text.find(',', at)) != std::string::npos; at += 3)
    text.replace(at, 1, ",\n ");
  test::write_file(dir_ / "b" / "tokenizer.json", text);
  EXPECT_TRUE(run("a", "b").findings.empty());
}

TEST_F(Check, AMissingTokenizerIsAWarning) {
  add("b", model_, tuned_);
  std::filesystem::remove(dir_ / "b" / "tokenizer.json");
  EXPECT_TRUE(holds(expect_only(run("a", "b"), "tokenizer", Severity::kWarning), "of b"));
}

TEST_F(Check, AMissingConfigIsAWarning) {
  add("b", model_, tuned_);
  std::filesystem::remove(dir_ / "b" / "config.json");
  const Compatibility found = run("a", "b");
  EXPECT_TRUE(found.fit());
  EXPECT_TRUE(holds(expect_only(found, "config", Severity::kWarning), "no config.json with b"));
}

TEST_F(Check, Rope) {
  add_with_config("b", "rope_theta", "10000.0");
  const std::string text = expect_only(run("a", "b"), "rope", Severity::kBlocker);
  EXPECT_TRUE(holds(text, "rope_theta: 1000000.0 in a, 10000.0 in b"));
  EXPECT_TRUE(run("a", "b", allowing("rope")).fit());
}

TEST_F(Check, RopeInBothSpellingsOfTransformersIsEqual) {
  test::TinyModel model = model_;
  model.config["rope_scaling"] =
      R"({"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768})";
  add("four", model, tuned_);
  model.config.erase("rope_scaling");
  model.config["rope_theta"] = "null";
  model.config["rope_parameters"] =
      R"({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768,
          "rope_theta": 1000000})";
  add("five", model, tuned_);
  EXPECT_TRUE(of_topic(run("four", "five"), "rope").empty());
  EXPECT_TRUE(of_topic(run("five", "four"), "rope").empty());
  EXPECT_FALSE(of_topic(run("a", "four"), "rope").empty());
  EXPECT_FALSE(of_topic(run("a", "five"), "rope").empty());
}

TEST_F(Check, DefaultRopeIsNoRopeScaling) {
  test::TinyModel model = model_;
  model.config["rope_parameters"] = R"({"rope_type": "default", "rope_theta": 1000000.0})";
  add("b", model, tuned_);
  EXPECT_TRUE(run("a", "b").findings.empty());
}

// The models that leave it out were trained with transformers' default.
TEST_F(Check, AnUnstatedRopeThetaIsTheDefault) {
  test::TinyModel model = model_;
  model.config["rope_theta"] = "10000.0";
  add("stated", model, base_);
  add("silent", model, tuned_);
  std::string config = test::read_file(dir_ / "silent" / "config.json");
  const std::size_t at = config.find("  \"rope_theta\"");
  config.erase(at, config.find('\n', at) + 1 - at);
  test::write_file(dir_ / "silent" / "config.json", config);
  EXPECT_TRUE(run("stated", "silent").findings.empty());
  EXPECT_FALSE(of_topic(run("a", "silent"), "rope").empty());
}

TEST_F(Check, NormEpsilon) {
  add_with_config("b", "rms_norm_eps", "1e-05");
  const std::string text = expect_only(run("a", "b"), "norm", Severity::kBlocker);
  EXPECT_TRUE(holds(text, "rms_norm_eps: 1e-06 in a, 1e-05 in b"));
  EXPECT_TRUE(run("a", "b", allowing("norm")).fit());
}

TEST_F(Check, OneNumberSpeltInTwoWaysIsOneNumber) {
  add_with_config("b", "rms_norm_eps", "0.000001");
  EXPECT_TRUE(run("a", "b").findings.empty());
}

TEST_F(Check, OtherSettings) {
  add_with_config("b", "hidden_act", "\"gelu\"");
  EXPECT_TRUE(holds(expect_only(run("a", "b"), "settings", Severity::kBlocker), "hidden_act"));
}

TEST_F(Check, AWindowThatIsNotUsedDoesNotMatter) {
  test::TinyModel model = model_;
  model.config["use_sliding_window"] = "false";
  model.config["sliding_window"] = "4096";
  add("b", model, tuned_);
  EXPECT_TRUE(run("a", "b").findings.empty());
}

TEST_F(Check, Quantisation) {
  add_with_config("b", "quantization_config", "{\"quant_method\": \"gptq\"}");
  const std::string text = expect_only(run("a", "b"), "quantisation", Severity::kBlocker);
  EXPECT_TRUE(holds(text, "b is quantised (gptq)"));
  EXPECT_TRUE(run("a", "b", allowing("quantisation")).fit());
}

TEST_F(Check, EightBitFloatsAreAWarning) {
  for (const char* name : {"a", "b"}) {
    StateDict weights = name[0] == 'a' ? base_ : tuned_;
    weights.set("model.codes", at::ones({4}).to(at::kFloat8_e5m2));
    add(std::string("eight-") + name, model_, weights);
  }
  EXPECT_TRUE(holds(expect_only(run("eight-a", "eight-b"), "quantisation", Severity::kWarning),
                    "model.codes"));
}

TEST_F(Check, StrangersBlock) {
  add("b", model_, test::make_weights(model_, 77));
  const Compatibility found = run("a", "b");
  expect_only(found, "kinship", Severity::kBlocker);
  EXPECT_GT(found.kinship[0].relative_distance, 1);
  EXPECT_LT(std::abs(found.kinship[0].cosine), 0.2);
  EXPECT_TRUE(run("a", "b", allowing("kinship")).fit());
}

TEST_F(Check, TheSameModelTwiceIsANote) {
  EXPECT_TRUE(holds(expect_only(run("a", "a"), "kinship", Severity::kNote), "no difference found"));
}

TEST_F(Check, AReferenceOfZerosShowsNoKinship) {
  StateDict zeros;
  for (const auto& [name, tensor] : test::make_weights(model_, 1))
    zeros.set(name, at::zeros_like(tensor));
  add("zero", model_, zeros);
  const Compatibility found = run("zero", "a");
  EXPECT_TRUE(holds(expect_only(found, "kinship", Severity::kWarning), "zero"));
  EXPECT_TRUE(found.kinship.empty());
}

TEST_F(Check, TellsEveryDifferenceAtOnceWithBlockersFirst) {
  test::TinyModel model = model_;
  model.config["architectures"] = "[\"LlamaForCausalLM\"]";
  model.config["rope_theta"] = "10000.0";
  model.config["rms_norm_eps"] = "1e-05";
  StateDict weights;
  for (const auto& [name, tensor] : test::make_weights(model_, 77))
    weights.set(name, tensor.to(at::kHalf));
  weights.set("model.extra", at::ones({1}));
  add("b", model, weights);
  test::write_file(dir_ / "b" / "tokenizer.json", test::tokenizer_json(39));
  const Compatibility found = run("a", "b");
  for (const char* topic :
       {"architecture", "rope", "norm", "tensors", "dtypes", "tokenizer", "kinship"}) {
    EXPECT_EQ(of_topic(found, topic).size(), 1u) << topic;
  }
  EXPECT_TRUE(
      std::is_sorted(found.findings.begin(), found.findings.end(),
                     [](const Finding& x, const Finding& y) { return x.severity > y.severity; }));
  const std::string message = thrown_by<IncompatibleModels>([&] { require_fit(found); });
  for (const char* part : {"architecture: ", "rope: ", "norm: ", "tensors: ", "kinship: "})
    EXPECT_TRUE(holds(message, part));
  EXPECT_FALSE(message.find("dtypes: ") != std::string::npos);
}

TEST_F(Check, ComparesEveryModelWithTheFirstAndMeasuresEveryPair) {
  add("b", model_, tuned_);
  add("c", model_, target_);
  const Compatibility found = check({open("a"), open("b"), open("c")}, {});
  EXPECT_TRUE(found.fit());
  ASSERT_EQ(found.kinship.size(), 3u);
  EXPECT_EQ(found.kinship[2].first, "c");
  EXPECT_EQ(found.kinship[2].second, "b");
}

TEST_F(Check, EveryTopicIsListedAndOnlyKnownTopicsAreUsed) {
  const auto& topics = compatibility_topics();
  EXPECT_TRUE(std::is_sorted(topics.begin(), topics.end()));
  test::TinyModel model = model_;
  model.vocab = 41;
  model.layers = 2;
  model.tied = false;
  model.config["quantization_config"] = "{}";
  add("b", model, test::make_weights(model, 3));
  for (const Finding& finding : run("a", "b").findings)
    EXPECT_TRUE(std::binary_search(topics.begin(), topics.end(), finding.topic)) << finding.topic;
}

TEST_F(Check, HostileNamesArePrintable) {
  const std::string evil = "model.\x1b]0;owned\x07\n\xE2\x80\xAE";
  StateDict weights = tuned_;
  weights.set(evil + "a", at::ones({1}));
  add("b", model_, weights);
  StateDict fewer = base_;
  fewer.set(evil + "b", at::ones({1}));
  test::TinyModel model = model_;
  model.config["architectures"] = "[\"\\u001b[2J\"]";
  add("c", model, fewer);
  for (const Finding& finding : check({open("b"), open("c")}, {}).findings) {
    EXPECT_TRUE(test::is_one_plain_line(finding.found)) << finding.topic;
    EXPECT_EQ(finding.found.find("\xE2\x80\xAE"), std::string::npos) << finding.topic;
  }
}

// --- A target and a vector
// --------------------------------------------------------------------------

class CheckVector : public Check {
 protected:
  CheckVector() {
    add("base", model_, base_);
    add("tuned", model_, tuned_);
    extract(open("tuned"), open("base"), path("v.safetensors"));
  }
  TaskVector stored() { return TaskVector::open(path("v.safetensors")); }
};

TEST_F(CheckVector, AStoredVectorKnowsItsDonors) {
  add("target", model_, target_);
  const Compatibility found = check(open("target"), stored());
  EXPECT_TRUE(found.fit());
  EXPECT_TRUE(found.findings.empty());
  ASSERT_EQ(found.kinship.size(), 1u);
  EXPECT_LT(found.kinship[0].relative_distance, 0.1);
}

TEST_F(CheckVector, AStoredVectorTellsOfEachDifferenceToo) {
  test::TinyModel model = model_;
  model.config["architectures"] = "[\"LlamaForCausalLM\"]";
  model.config["rope_theta"] = "5.0";
  model.config["num_key_value_heads"] = "1";
  add("target", model, test::make_weights(model_, 50));
  test::write_file(dir_ / "target" / "tokenizer.json", test::tokenizer_json(7));
  const Compatibility found = check(open("target"), stored());
  for (const char* topic : {"architecture", "rope", "structure", "tokenizer", "kinship"}) {
    const auto findings = of_topic(found, topic);
    ASSERT_EQ(findings.size(), 1u) << topic;
    EXPECT_EQ(findings[0].severity, Severity::kBlocker) << topic;
  }
}

TEST_F(CheckVector, AVectorOfSomeLayersIsNoShorterModel) {
  ExtractOptions options;
  options.only = Selection::parse("layer=0");
  extract(open("tuned"), open("base"), path("part.safetensors"), options);
  add("target", model_, target_);
  const Compatibility found = check(open("target"), TaskVector::open(path("part.safetensors")));
  EXPECT_TRUE(found.findings.empty());
}

TEST_F(CheckVector, DifferencesInMemoryAreNoStrangers) {
  add("target", model_, target_);
  StateDict deltas;
  for (const char* name : {"model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight"})
    deltas.set(name, tuned_.at(name).to(at::kFloat) - base_.at(name).to(at::kFloat));
  EXPECT_TRUE(check(open("target"), TaskVector::from(deltas)).fit());
  deltas.set("model.layers.0.mlp.up_proj.weight", at::zeros({3, 3}));
  EXPECT_FALSE(check(open("target"), TaskVector::from(deltas)).fit());
}

TEST_F(CheckVector, ALazyVectorsDonorsAreComparedWithTheTarget) {
  add("stranger", model_, test::make_weights(model_, 60));
  const Compatibility found = check(open("stranger"), open("tuned") - open("base"));
  EXPECT_EQ(of_topic(found, "kinship").size(), 2u);
  EXPECT_FALSE(found.fit());
}

}  // namespace
}  // namespace suture
