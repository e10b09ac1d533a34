#include "ablation/model_scorer.h"

#include <memory>
#include <typeinfo>

#include "suture/error.h"

#include "ablation/arm_weights.h"
#include "evaluate/aggregate.h"
#include "evaluate/statistics.h"
#include "stream/weights_store.h"

namespace suture::ablation {
namespace {

model::ActivationMemo::Sizes sizes_of(const LanguageModelInfo& info) {
  return {static_cast<std::uint64_t>(info.hidden_size) *
              static_cast<std::uint64_t>(bytes_of(info.dtype)),
          info.cache_token_bytes / static_cast<std::uint64_t>(info.layers)};
}

// A text's own rate is not the rate over all texts, which weighs long ones more: it has a name of
// its own.
std::string name_by_record(const RecordMetric& metric) {
  return metric.name == "nll_per_token" ? "mean_nll_per_token" : metric.name;
}

void add_metrics(const std::string& task, const Evaluation& evaluation,
                 std::vector<ArmMetric>& metrics) {
  const std::size_t count = evaluation.records.front().metrics.size();
  for (std::size_t m = 0; m < count; ++m) {
    const RecordMetric& first = evaluation.records.front().metrics[m];
    ArmMetric metric;
    metric.task = task;
    metric.name = name_by_record(first);
    metric.filter = first.filter;
    metric.is_share = evaluation::is_share(first.name);
    metric.higher_is_better = evaluation::higher_is_better(first.name);
    for (const RecordResult& record : evaluation.records)
      metric.records.push_back(record.metrics.at(m).value);
    metric.value = evaluation::mean(metric.records);
    metrics.push_back(std::move(metric));
  }
}

}  // namespace

ModelScorer::ModelScorer(const Checkpoint& target, LanguageModel& model, const Tokenizer& tokenizer,
                         const TaskVector& vector, const std::vector<Task>& tasks,
                         const AblationOptions& options)
    : model_(model),
      tokenizer_(tokenizer),
      vector_(vector),
      tasks_(tasks),
      options_(options),
      weights_(target, std::make_unique<stream::WeightsInMemory>(model.weights()),
               options.vocabulary, options.run),
      memos_(tasks.size(), {sizes_of(model.info()), options.reuse_budget_bytes / tasks.size()}) {}

ModelScorer::~ModelScorer() {
  try {
    restore();
  } catch (...) {
    // Told by the call of `restore` that goes before, or hidden by the error that ended the run.
  }
}

// An error of the model's scores is the arm's.
Evaluation ModelScorer::evaluate_arm(const Arm& arm, std::size_t task,
                                     const EvaluationOptions& options) {
  try {
    return evaluate(model_, tokenizer_, tasks_[task], options);
  } catch (const Error& error) {
    if (typeid(error) != typeid(Error)) throw;
    throw Error(
        {"arm '" + printable(arm.name) + "'", {}, error.what(), {}, "a smaller scale may help"});
  }
}

ScoredArm ModelScorer::score(const Arm& arm, const ArmTurn& turn,
                             const std::function<void(double share)>& on_progress) {
  weights_.become(vector_of(arm, vector_, options_.run));
  ScoredArm scored;
  if (arm.kind != ArmKind::kTarget) scored.realised = weights_.realised().total;
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    memos_[t].forget_above(turn.resume);
    memos_[t].begin(turn.keep, turn.last_use);
    EvaluationOptions options = options_.evaluation;
    options.run.memo = &memos_[t];
    if (options.run.cancel == nullptr) options.run.cancel = options_.run.cancel;
    options.run.on_progress = [&](std::size_t done, std::size_t total) {
      const double share = static_cast<double>(done) / static_cast<double>(total);
      on_progress((static_cast<double>(t) + share) / static_cast<double>(tasks_.size()));
    };
    add_metrics(tasks_[t].name(), evaluate_arm(arm, t, options), scored.metrics);
  }
  return scored;
}

}  // namespace suture::ablation
