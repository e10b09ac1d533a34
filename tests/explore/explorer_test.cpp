#include "suture/explorer.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/ablation_lab.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::same_bits;
using test::thrown_by;

class ExplorerTest : public test::AblationLab {
 protected:
  std::vector<TaskVector> vectors() const { return {vector(), open("target") - open("base")}; }

  ExplorerOptions explorer_options(std::size_t task) const {
    ExplorerOptions made;
    made.task = tasks_[task];
    made.evaluation = options().evaluation;
    made.sample_tokens = 6;
    made.run.threads = 1;
    return made;
  }

  // What inject writes for an edit.
  LanguageModel injected(const Explorer& explorer, const ModelEdit& edit) const {
    InjectOptions how;
    how.replace_existing = true;
    inject(open("target"), explorer.vector_of(edit), (dir_ / "injected").string(), how);
    return model("injected");
  }

  void expect_injected(LanguageModel& edited, const Explorer& explorer, const ModelEdit& edit,
                       const EditOutcome& outcome, std::size_t task) const {
    LanguageModel expected = injected(explorer, edit);
    EXPECT_TRUE(same_bits(edited.weights(), expected.weights()));
    const Evaluation scores =
        evaluate(expected, tokenizer(), tasks_[task], explorer_options(task).evaluation);
    ASSERT_TRUE(outcome.score.has_value());
    const MetricResult* metric = scores.find(outcome.score->metric, outcome.score->filter);
    ASSERT_NE(metric, nullptr);
    EXPECT_DOUBLE_EQ(outcome.score->value, metric->value);
    EXPECT_EQ(outcome.score->records, scores.records.size());
  }
};

TEST_F(ExplorerTest, EveryEditIsWhatInjectWrites) {
  for (const std::size_t task : {0u, 1u}) {
    LanguageModel edited = model("target");
    const Tokenizer words = tokenizer();
    Explorer explorer(open("target"), edited, words, vectors(), explorer_options(task));
    const ModelEdit edits[] = {{{1, 0}, {}, ""},
                               {{0.5, -2}, Selection::parse("layer=1 & block=mlp"), ""},
                               {{0, 0}, {}, ""},
                               {{-1, 1}, Selection::parse("module=q_proj"), ""}};
    for (const ModelEdit& edit : edits)
      expect_injected(edited, explorer, edit, explorer.apply(edit), task);
  }
}

TEST_F(ExplorerTest, AThousandRandomEditsLeaveTheTargetsBytes) {
  LanguageModel edited = model("target");
  const Tokenizer words = tokenizer();
  ExplorerOptions how;  // no task: a thousand changes of the weights
  std::atomic<bool> stop{false};
  how.run.cancel = &stop;
  how.run.threads = 1;
  Explorer explorer(open("target"), edited, words, vectors(), how);
  std::mt19937 random(7);
  const char* selections[] = {
      "", "layer=0", "layer=1-", "block=mlp", "!layer=0-", "block=norm", "module=q_proj,k_proj"};
  constexpr double kScales[] = {0, 1, -1, 0.5, 3.25, 1e-4};
  ModelEdit last;
  for (int i = 0; i < 1000; ++i) {
    const std::string only = selections[random() % std::size(selections)];
    last = {{kScales[random() % std::size(kScales)], kScales[random() % std::size(kScales)]},
            only.empty() ? Selection() : Selection::parse(only),
            ""};
    stop = random() % 8 == 0;
    try {
      explorer.apply(last);
    } catch (const Interrupted&) {
      EXPECT_TRUE(stop);
    }
    if (i % 250 == 249) {
      stop = false;
      explorer.apply(last);
      EXPECT_TRUE(same_bits(edited.weights(), injected(explorer, last).weights())) << i;
    }
  }
  stop = true;  // as when the program is interrupted
  explorer.restore();
  expect_target_weights(edited);
}

TEST_F(ExplorerTest, TheStartIsInterruptedByItself) {
  LanguageModel edited = model("target");
  const Tokenizer words = tokenizer();
  ExplorerOptions how = explorer_options(0);
  std::atomic<bool> start{true}, edit{false};
  how.run.cancel = &start;
  how.edit_cancel = &edit;
  EXPECT_THROW(Explorer(open("target"), edited, words, vectors(), how), Interrupted);
  expect_target_weights(edited);
  start = false;
  edit = true;  // no edit is under way yet
  Explorer explorer(open("target"), edited, words, vectors(), how);
  start = true;
  EXPECT_THROW(explorer.apply({{1, 0}, {}, ""}), Interrupted);
  edit = false;
  EXPECT_NO_THROW(explorer.apply({{1, 0}, {}, ""}));
}

TEST_F(ExplorerTest, AnInterruptedEditLeavesNoTraceInTheNext) {
  LanguageModel edited = model("target");
  const Tokenizer words = tokenizer();
  ExplorerOptions how = explorer_options(0);
  std::atomic<bool> stop{false};
  how.run.cancel = &stop;
  Explorer explorer(open("target"), edited, words, vectors(), how);
  const ModelEdit one{{1, 1}, {}, ""}, other{{0.25, 0}, Selection::parse("layer=1"), ""};
  stop = true;
  EXPECT_THROW(explorer.apply(one), Interrupted);
  stop = false;
  expect_injected(edited, explorer, other, explorer.apply(other), 0);
}

TEST_F(ExplorerTest, ComparesWithTheTargetOnTheSameRecords) {
  LanguageModel edited = model("target");
  const Tokenizer words = tokenizer();
  Explorer explorer(open("target"), edited, words, vectors(), explorer_options(0));
  ASSERT_TRUE(explorer.reference().score.has_value());
  EXPECT_EQ(explorer.reference().score->difference, 0);
  const EditOutcome outcome = explorer.apply({{4, 0}, {}, ""});
  ASSERT_TRUE(outcome.score.has_value());
  EXPECT_EQ(outcome.score->reference_value, explorer.reference().score->value);
  EXPECT_DOUBLE_EQ(outcome.score->difference,
                   outcome.score->value - outcome.score->reference_value);
  EXPECT_EQ(explorer.apply({{0, 0}, {}, ""}).score->difference, 0);
}

TEST_F(ExplorerTest, AnswersAPromptWithAndWithoutTheEdit) {
  LanguageModel edited = model("target");
  const Tokenizer words = tokenizer();
  Explorer explorer(open("target"), edited, words, vectors(), explorer_options(1));
  const ModelEdit nothing{{0, 0}, {}, "2+2="}, much{{40, 0}, {}, "2+2="};
  const EditOutcome changed = explorer.apply(much), unchanged = explorer.apply(nothing);
  ASSERT_TRUE(changed.sample && unchanged.sample);
  EXPECT_EQ(changed.sample->prompt, "2+2=");
  EXPECT_EQ(changed.sample->reference_answer, unchanged.sample->answer);
  EXPECT_EQ(unchanged.sample->reference_answer, unchanged.sample->answer);
  EXPECT_NE(changed.sample->answer, changed.sample->reference_answer);
  // Without a prompt of its own: the task's first.
  EXPECT_EQ(explorer.apply({{0, 0}, {}, ""}).sample->prompt, explorer.reference().sample->prompt);
}

TEST_F(ExplorerTest, RefusesAPromptThatDoesNotFit) {
  LanguageModel edited = model("target");
  const Tokenizer words = tokenizer();
  Explorer explorer(open("target"), edited, words, vectors(), explorer_options(1));
  const std::string long_prompt(static_cast<std::size_t>(edited.max_length()), 'a');
  const std::string error = thrown_by<UsageError>([&] {
    explorer.apply({{1, 0}, {}, long_prompt});
  });
  EXPECT_TRUE(test::holds(error, "tokens too many")) << error;
  EXPECT_TRUE(explorer.apply({{1, 0}, {}, "a"}).sample.has_value());
}

TEST_F(ExplorerTest, NeedsNoTask) {
  LanguageModel edited = model("target");
  const Tokenizer words = tokenizer();
  Explorer explorer(open("target"), edited, words, vectors(), {});
  const EditOutcome outcome = explorer.apply({{1, 0}, {}, ""});
  EXPECT_FALSE(outcome.score.has_value());
  EXPECT_FALSE(outcome.sample.has_value());
  EXPECT_GT(outcome.realised.total.wanted_norm, 0);
}

TEST_F(ExplorerTest, RefusesScalesThatMeanNothing) {
  LanguageModel edited = model("target");
  const Tokenizer words = tokenizer();
  const Explorer explorer(open("target"), edited, words, vectors(), {});
  EXPECT_NE(thrown_by<UsageError>([&] {
              explorer.vector_of({{1}, {}, ""});
            }).find("2, one for"),
            std::string::npos);
  EXPECT_THROW(explorer.vector_of({{1, std::nan("")}, {}, ""}), UsageError);
  EXPECT_THROW(explorer.vector_of({{1, 1}, Selection::parse("layer=99"), ""}), UsageError);
  EXPECT_THROW(explorer.vector_of({{std::numeric_limits<double>::infinity(), 1}, {}, ""}),
               UsageError);
}

}  // namespace
}  // namespace suture
