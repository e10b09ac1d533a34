#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/ablation.h"
#include "suture/surgery.h"

#include "support/byte_model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace suture::test {

/// Three relatives that can read text, in a folder of their own, and tasks of every kind.
class AblationLab : public testing::Test {
 protected:
  AblationLab() {
    const StateDict base = testing_support::tiny_weights(at::kFloat, kByteVocab);
    write_byte_model(dir_ / "base", base);
    write_byte_model(dir_ / "tuned", make_relative(base, 2, 0.05));
    write_byte_model(dir_ / "target", make_relative(base, 3, 0.01));
    write_tasks();
  }

  Checkpoint open(const std::string& name) const {
    return Checkpoint::open((dir_ / name).string());
  }
  LanguageModel model(const std::string& name) const {
    LanguageModelOptions options;
    options.run.threads = 1;
    return LanguageModel::open((dir_ / name).string(), options);
  }
  Tokenizer tokenizer() const { return Tokenizer::open((dir_ / "target").string()); }
  TaskVector vector() const { return open("tuned") - open("base"); }

  AblationOptions options() const {
    AblationOptions made;
    made.evaluation.score_targets = true;
    made.evaluation.end_tokens = {256};
    made.run.threads = 1;
    return made;
  }

  /// Every design by every unit, with controls.
  std::vector<Arm> all_arms() const {
    AblationPlan plan;
    plan.designs = {AblationDesign::kLeaveOneOut, AblationDesign::kOnlyOne,
                    AblationDesign::kBottomUp, AblationDesign::kTopDown};
    plan.units = {AblationUnit::kLayer, AblationUnit::kBlock, AblationUnit::kModule};
    plan.selections = {Selection::parse("layer=0 & block=mlp")};
    plan.scale = 0.75;
    return ablation_arms(vector(), plan);
  }

  /// The target, the vector and each layer left out.
  std::vector<Arm> some_arms() const {
    AblationPlan plan;
    plan.controls.random_seeds = 1;
    return ablation_arms(vector(), plan);
  }

  Ablation run(const std::vector<Arm>& arms, const AblationOptions& options) const {
    LanguageModel target = model("target");
    const Ablation ablation =
        ablate(open("target"), target, tokenizer(), vector(), arms, tasks_, options);
    expect_target_weights(target);
    return ablation;
  }

  void expect_target_weights(const LanguageModel& found) const {
    const StateDict expected = load((dir_ / "target").string());
    for (const auto& [name, tensor] : expected)
      EXPECT_TRUE(at::equal(found.weights().at(name), tensor)) << name;
  }

  std::filesystem::path journal() const { return dir_ / "arms.jsonl"; }

  TempDir dir_;
  std::vector<Task> tasks_;

 private:
  void write_tasks() {
    write_file(dir_ / "choice.jsonl",
               R"({"task": {"description": "Say which colour things have. "}})"
               "\n"
               R"({"context": "The sky is", "choices": ["blue", "green", "b"], "gold": 0})"
               "\n"
               R"({"context": "Grass is", "choices": ["blue", "green"], "gold": 1})"
               "\n"
               R"({"context": "Snow", "choices": ["is white", "is red and green"], "gold": 0})"
               "\n");
    write_file(dir_ / "write.jsonl", R"({"task": {"until": ["\n"], "max_new_tokens": 6}})"
                                     "\n"
                                     R"({"prompt": "1+1=", "target": "2"})"
                                     "\n"
                                     R"({"prompt": "What is 2+2? ", "target": "4 or 5"})"
                                     "\n");
    std::string text;
    for (int word = 0; word < 80; ++word) text += "word " + std::to_string(word * word) + " ";
    write_file(dir_ / "text.jsonl", R"({"text": "some words of text"})"
                                    "\n"
                                    R"({"text": ")" +
                                        text + "\"}\n");
    for (const char* name : {"choice", "write", "text"})
      tasks_.push_back(Task::open((dir_ / (std::string(name) + ".jsonl")).string()));
  }
};

/// Two numbers of one bit pattern.
inline bool same_number(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
}

/// Succeeds when both were scored alike, to the bit.
inline testing::AssertionResult same_metrics(const std::vector<ArmMetric>& a,
                                             const std::vector<ArmMetric>& b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << a.size() << ", " << b.size();
  for (std::size_t m = 0; m < a.size(); ++m) {
    const std::string place = a[m].task + " " + a[m].name;
    if (a[m].task != b[m].task || a[m].name != b[m].name || a[m].filter != b[m].filter ||
        a[m].is_share != b[m].is_share || a[m].higher_is_better != b[m].higher_is_better ||
        a[m].records.size() != b[m].records.size() || !same_number(a[m].value, b[m].value))
      return testing::AssertionFailure() << place << " differs";
    for (std::size_t i = 0; i < a[m].records.size(); ++i)
      if (!same_number(a[m].records[i], b[m].records[i]))
        return testing::AssertionFailure() << place << ", record " << i << ": " << a[m].records[i]
                                           << " and " << b[m].records[i];
  }
  return testing::AssertionSuccess();
}

/// Expects two ablations to say the same, effects included.
inline void expect_same_ablation(const Ablation& a, const Ablation& b) {
  ASSERT_EQ(a.arms.size(), b.arms.size());
  for (std::size_t i = 0; i < a.arms.size(); ++i) {
    const ArmResult &x = a.arms[i], &y = b.arms[i];
    EXPECT_EQ(x.arm.name, y.arm.name);
    EXPECT_EQ(x.same_weights_as, y.same_weights_as);
    EXPECT_TRUE(same_metrics(x.metrics, y.metrics)) << x.arm.name;
    ASSERT_EQ(x.realised.has_value(), y.realised.has_value()) << x.arm.name;
    if (x.realised) {
      EXPECT_EQ(x.realised->realised_norm, y.realised->realised_norm);
      EXPECT_EQ(x.realised->changed, y.realised->changed);
    }
    ASSERT_EQ(x.effects.size(), y.effects.size());
    for (std::size_t m = 0; m < x.effects.size(); ++m) {
      ASSERT_EQ(x.effects[m].has_value(), y.effects[m].has_value());
      if (!x.effects[m]) continue;
      EXPECT_TRUE(same_number(x.effects[m]->difference, y.effects[m]->difference));
      EXPECT_EQ(x.effects[m]->p_holm, y.effects[m]->p_holm);
    }
  }
}

}  // namespace suture::test
