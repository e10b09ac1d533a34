#include "suture/ablation.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/evaluation.h"

#include "ablation/arm_order.h"
#include "ablation/arm_weights.h"
#include "support/ablation_lab.h"
#include "support/folder_tree.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::expect_same_ablation;
using test::holds;
using test::read_file;
using test::same_metrics;
using test::thrown_by;

class AblateTest : public test::AblationLab {
 protected:
  // What inject writes for an arm, and what evaluate says of the model that is loaded from there.
  InjectReport inject_arm(const Arm& arm,
                          VocabularyPolicy vocabulary = VocabularyPolicy::kSame) const {
    InjectOptions options;
    options.check.vocabulary = vocabulary;
    options.replace_existing = true;
    return inject(open("target"), ablation::vector_of(arm, vector(), {}),
                  (dir_ / "injected").string(), options);
  }

  std::vector<std::vector<RecordResult>> evaluated(const AblationOptions& options) const {
    LanguageModel injected = model("injected");
    std::vector<std::vector<RecordResult>> results;
    for (const Task& task : tasks_)
      results.push_back(evaluate(injected, tokenizer(), task, options.evaluation).records);
    return results;
  }

  void expect_evaluated(const ArmResult& result, const AblationOptions& options) const {
    const auto expected = evaluated(options);
    std::size_t metric = 0;
    for (std::size_t t = 0; t < tasks_.size(); ++t) {
      for (std::size_t m = 0; m < expected[t].front().metrics.size(); ++m, ++metric) {
        ASSERT_LT(metric, result.metrics.size());
        const ArmMetric& found = result.metrics[metric];
        EXPECT_EQ(found.task, tasks_[t].name());
        EXPECT_EQ(found.filter, expected[t].front().metrics[m].filter);
        ASSERT_EQ(found.records.size(), expected[t].size());
        double sum = 0;
        for (std::size_t i = 0; i < expected[t].size(); ++i) {
          sum += found.records[i];
          EXPECT_TRUE(test::same_number(found.records[i], expected[t][i].metrics[m].value))
              << result.arm.name << " " << found.name << " " << i;
        }
        EXPECT_DOUBLE_EQ(found.value, sum / static_cast<double>(expected[t].size()));
      }
    }
    EXPECT_EQ(metric, result.metrics.size());
  }

  std::size_t distinct_weights(const std::vector<Arm>& arms) const {
    std::set<ablation::StageWeights> distinct;
    for (const Arm& arm : arms) distinct.insert(ablation::stage_weights(arm, vector().names(), 3));
    return distinct.size();
  }
};

TEST_F(AblateTest, ScoresEveryArmAsEvaluateDoesWhatInjectWrites) {
  const std::vector<Arm> arms = all_arms();
  const Ablation found = run(arms, options());
  ASSERT_EQ(found.arms.size(), arms.size());
  for (std::size_t i = 0; i < arms.size() && !HasFailure(); ++i) {
    EXPECT_EQ(found.arms[i].arm.name, arms[i].name);
    const InjectReport report = inject_arm(arms[i]);
    expect_evaluated(found.arms[i], options());
    EXPECT_EQ(found.arms[i].realised.has_value(), arms[i].kind != ArmKind::kTarget);
    if (!found.arms[i].realised) continue;
    EXPECT_EQ(found.arms[i].realised->elements, report.realised.total.elements) << arms[i].name;
    EXPECT_EQ(found.arms[i].realised->realised_norm, report.realised.total.realised_norm);
  }
}

TEST_F(AblateTest, DependsOnNeitherBudgetNorThreadsOfSwitchingNorOrderOfArms) {
  std::vector<Arm> arms = some_arms();
  const Ablation expected = run(arms, options());
  for (const std::uint64_t budget : {0u, 1u, 30'000u, 100'000u, 300'000u}) {
    AblationOptions other = options();
    other.reuse_budget_bytes = budget;
    other.run.threads = 2;
    expect_same_ablation(run(arms, other), expected);
  }
  std::reverse(arms.begin(), arms.end());
  const Ablation reversed = run(arms, options());
  for (const ArmResult& result : expected.arms)
    EXPECT_TRUE(same_metrics(reversed.find(result.arm.name)->metrics, result.metrics));
}

TEST_F(AblateTest, ScoresASweepAsEvaluateDoes) {
  ControlOptions controls;
  controls.random_seeds = 1;
  const std::vector<Arm> arms = sweep_arms(vector(), {-1, 0, 0.5, 1}, controls);
  const Ablation found = run(arms, options());
  for (std::size_t i = 0; i < arms.size(); ++i) {
    inject_arm(arms[i]);
    expect_evaluated(found.arms[i], options());
  }
}

// Controls have the rows of the vector that they are made of.
TEST_F(AblateTest, MatchesRowsByTokenTextInControlsToo) {
  AblationOptions common = options();
  common.vocabulary = VocabularyPolicy::kCommon;
  const Ablation found = run(some_arms(), common);
  for (const ArmResult& result : found.arms) {
    inject_arm(result.arm, VocabularyPolicy::kCommon);
    expect_evaluated(result, common);
  }
}

// target + (tuned - target) is a copy of tuned, and leaving a layer out of it is one in part.
TEST_F(AblateTest, CopiesTheDonorWhereInjectDoes) {
  const TaskVector whole = open("tuned") - open("target");
  AblationPlan plan;
  plan.controls.enabled = false;
  const std::vector<Arm> arms = ablation_arms(whole, plan);
  LanguageModel target = model("target");
  const Ablation found =
      ablate(open("target"), target, tokenizer(), whole, arms, tasks_, options());
  InjectOptions replace;
  replace.replace_existing = true;
  for (std::size_t i = 0; i < arms.size(); ++i) {
    inject(open("target"), whole.only(arms[i].selection), (dir_ / "injected").string(), replace);
    expect_evaluated(found.arms[i], options());
  }
  expect_target_weights(target);
}

TEST_F(AblateTest, TellsOfEachSetOfWeightsOnce) {
  std::vector<Arm> arms = all_arms();
  Arm same = arms[1];
  same.name = "the vector again";
  arms.push_back(same);
  AblationOptions counting = options();
  std::set<std::string> told;
  counting.on_arm = [&](const ArmResult& result) {
    EXPECT_TRUE(told.insert(result.arm.name).second);
    EXPECT_FALSE(result.metrics.empty());
  };
  const Ablation found = run(arms, counting);
  EXPECT_EQ(told.size(), distinct_weights(arms));
  EXPECT_EQ(found.arms.back().same_weights_as, "vector");
  EXPECT_TRUE(same_metrics(found.arms.back().metrics, found.find("vector")->metrics));
  for (const ArmResult& result : found.arms)
    EXPECT_EQ(result.same_weights_as.empty(), told.count(result.arm.name) == 1) << result.arm.name;
}

TEST_F(AblateTest, FillsEffectsInAgainstTheReference) {
  const Ablation found = run(some_arms(), options());
  for (const ArmResult& result : found.arms) {
    ASSERT_EQ(result.effects.size(), result.metrics.size());
    for (std::size_t m = 0; m < result.metrics.size(); ++m) {
      ASSERT_EQ(result.effects[m].has_value(), !result.arm.reference.empty());
      if (!result.effects[m]) continue;
      EXPECT_EQ(result.effects[m]->reference_value,
                found.find(result.arm.reference)->metrics[m].value);
    }
  }
  EXPECT_EQ(found.find("none"), nullptr);
}

TEST_F(AblateTest, GivesTheWeightsBackWhenACallbackThrows) {
  LanguageModel target = model("target");
  AblationOptions throwing = options();
  int arms_left = 2;
  throwing.on_arm = [&](const ArmResult&) {
    if (--arms_left == 0) throw std::runtime_error("enough");
  };
  EXPECT_THROW(ablate(open("target"), target, tokenizer(), vector(), some_arms(), tasks_, throwing),
               std::runtime_error);
  expect_target_weights(target);
  AblationOptions in_progress = options();
  in_progress.run.on_progress = [](const Progress& progress) {
    if (progress.bytes_done > 5) throw std::runtime_error("enough");
  };
  EXPECT_THROW(
      ablate(open("target"), target, tokenizer(), vector(), some_arms(), tasks_, in_progress),
      std::runtime_error);
  expect_target_weights(target);
}

TEST_F(AblateTest, StopsInTheMiddleOfAnArmWhenCancelled) {
  LanguageModel target = model("target");
  std::atomic<bool> cancel{false};
  AblationOptions cancelled = options();
  cancelled.run.cancel = &cancel;
  std::size_t told = 0, since = 0;
  cancelled.on_arm = [&](const ArmResult&) { ++told; };
  // First that the second arm is done, then that the third is on its way.
  cancelled.run.on_progress = [&](const Progress&) {
    if (told == 2 && ++since == 2) cancel = true;
  };
  EXPECT_THROW(
      ablate(open("target"), target, tokenizer(), vector(), some_arms(), tasks_, cancelled),
      Interrupted);
  EXPECT_EQ(told, 2u);
  expect_target_weights(target);
}

TEST_F(AblateTest, TellsHowFarItIs) {
  AblationOptions watched = options();
  std::uint64_t last = 0, total = 0;
  watched.run.on_progress = [&](const Progress& progress) {
    EXPECT_STREQ(progress.unit, "layers");
    EXPECT_GE(progress.bytes_done, last) << "backwards";
    EXPECT_LE(progress.bytes_done, progress.bytes_total);
    last = progress.bytes_done;
    total = progress.bytes_total;
  };
  run(some_arms(), watched);
  EXPECT_GT(total, 0u);
  EXPECT_EQ(last, total);
}

TEST_F(AblateTest, GoesOnWithAnInterruptedRun) {
  const std::vector<Arm> arms = some_arms();
  AblationOptions kept = options();
  kept.journal = journal().string();
  kept.fingerprint = "this";
  const Ablation expected = run(arms, kept);
  const std::string bytes = read_file(journal());
  for (std::size_t after = 1; after <= distinct_weights(arms); after += 2) {
    std::filesystem::remove(journal());
    std::size_t told = 0;
    kept.on_arm = [&](const ArmResult&) {
      if (++told == after) throw std::runtime_error("killed");
    };
    LanguageModel target = model("target");
    EXPECT_THROW(ablate(open("target"), target, tokenizer(), vector(), arms, tasks_, kept),
                 std::runtime_error);
    EXPECT_TRUE(holds(bytes, read_file(journal())));
    std::size_t more = 0;
    kept.on_arm = [&](const ArmResult&) { ++more; };
    expect_same_ablation(run(arms, kept), expected);
    EXPECT_EQ(after + more, distinct_weights(arms));
    EXPECT_EQ(read_file(journal()), bytes);
  }
  std::size_t again = 0;
  kept.on_arm = [&](const ArmResult&) { ++again; };
  expect_same_ablation(run(arms, kept), expected);
  EXPECT_EQ(again, 0u) << "everything was known";
  kept.begin_anew = true;
  expect_same_ablation(run(arms, kept), expected);
  EXPECT_EQ(again, distinct_weights(arms));
}

TEST_F(AblateTest, RefusesAnotherRunsJournalAndNoTask) {
  AblationOptions kept = options();
  kept.journal = journal().string();
  kept.fingerprint = "this";
  run(some_arms(), kept);
  kept.fingerprint = "that";
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { run(some_arms(), kept); }), "another run"));
  LanguageModel target = model("target");
  EXPECT_THROW(ablate(open("target"), target, tokenizer(), vector(), some_arms(), {}, options()),
               UsageError);
}

// --- With an evaluator outside -----------------------------------------------------------------

class AblateOutside : public AblateTest {
 protected:
  std::string folder() const { return (dir_ / "model").string(); }

  // A score that depends on every weight.
  static std::vector<ArmMetric> sum_of_weights(const std::string& model) {
    ArmMetric metric;
    metric.task = "sum";
    metric.name = "weights";
    for (const auto& [name, tensor] : load(model))
      metric.value += tensor.to(at::kDouble).sum().item<double>();
    return {metric};
  }
};

TEST_F(AblateOutside, ShowsEachArmsModelInAFolder) {
  const std::vector<Arm> arms = all_arms();
  std::set<std::string> seen;
  const OutsideEvaluator evaluator = [&](const std::string& model, const Arm& arm) {
    EXPECT_EQ(model, folder());
    EXPECT_TRUE(seen.insert(arm.name).second);
    inject_arm(arm);
    EXPECT_TRUE(test::same_tree(test::model_files(model), test::model_files(dir_ / "injected")))
        << arm.name;
    EXPECT_TRUE(holds(read_file(std::filesystem::path(model) / "suture.json"), arm.name));
    return sum_of_weights(model);
  };
  const Ablation found = ablate(open("target"), vector(), arms, evaluator, folder(), options());
  EXPECT_EQ(seen.size(), distinct_weights(arms));
  EXPECT_FALSE(std::filesystem::exists(folder()));
  const ArmResult& whole = *found.find("vector");
  ASSERT_TRUE(whole.effects.at(0).has_value());
  EXPECT_EQ(whole.effects[0]->difference,
            whole.metrics[0].value - found.find("target")->metrics[0].value);
  inject_arm(whole.arm);
  EXPECT_EQ(whole.metrics[0].value, sum_of_weights((dir_ / "injected").string())[0].value);
}

TEST_F(AblateOutside, LeavesNoFolderAndGoesOn) {
  AblationOptions kept = options();
  kept.journal = journal().string();
  const std::vector<Arm> arms = some_arms();
  std::size_t calls = 0;
  const OutsideEvaluator evaluator = [&](const std::string& model, const Arm&) {
    if (++calls == 3) throw std::runtime_error("the evaluator failed");
    return sum_of_weights(model);
  };
  EXPECT_THROW(ablate(open("target"), vector(), arms, evaluator, folder(), kept),
               std::runtime_error);
  EXPECT_FALSE(std::filesystem::exists(folder()));
  const Ablation found = ablate(open("target"), vector(), arms, evaluator, folder(), kept);
  EXPECT_EQ(calls, distinct_weights(arms) + 1);
  AblationOptions plain = options();
  expect_same_ablation(found, ablate(open("target"), vector(), arms, evaluator, folder(), plain));
  const std::size_t before = calls;
  expect_same_ablation(ablate(open("target"), vector(), arms, evaluator, folder(), kept), found);
  EXPECT_EQ(calls, before) << "everything was known";
  EXPECT_FALSE(std::filesystem::exists(folder()));
}

TEST_F(AblateOutside, LeavesAFolderAloneThatIsThere) {
  test::write_file(dir_ / "model" / "mine.txt", "mine");
  const OutsideEvaluator evaluator = [](const std::string&, const Arm&) {
    return std::vector<ArmMetric>();
  };
  EXPECT_THROW(ablate(open("target"), vector(), some_arms(), evaluator, folder(), options()),
               UsageError);
  EXPECT_EQ(read_file(dir_ / "model" / "mine.txt"), "mine");
}

}  // namespace
}  // namespace suture
