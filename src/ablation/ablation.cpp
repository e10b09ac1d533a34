#include "suture/ablation.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"

#include "ablation/arm_journal.h"
#include "ablation/arm_order.h"
#include "ablation/effects.h"
#include "ablation/folder_scorer.h"
#include "ablation/model_scorer.h"
#include "stream/worker_pool.h"

namespace suture {
namespace {

using namespace ablation;

// Tells how far a run is, in layers computed on all records.
class LayerProgress {
 public:
  LayerProgress(const RunOptions& options, const std::vector<ArmTurn>& turns, std::size_t layers)
      : options_(options), layers_(layers) {
    for (const ArmTurn& turn : turns) total_ += cost_of(turn);
  }

  // Never less than before: the answers of a task may be generated first and then scored.
  void tell(const ArmTurn& turn, double share) {
    if (!options_.on_progress) return;
    Progress progress;
    progress.stage = "scoring arms";
    progress.unit = "layers";
    progress.bytes_total = total_;
    told_ = std::max(
        told_, done_ + static_cast<std::uint64_t>(share * static_cast<double>(cost_of(turn))));
    progress.bytes_done = told_;
    options_.on_progress(progress);
  }

  void finish(const ArmTurn& turn) {
    done_ += cost_of(turn);
    tell(turn, 0);
  }

 private:
  // The head is computed in any case.
  std::uint64_t cost_of(const ArmTurn& turn) const { return layers_ - turn.resume + 1; }

  const RunOptions& options_;
  std::size_t layers_;
  std::uint64_t done_ = 0, told_ = 0, total_ = 0;
};

// `2 records of choice acc (none), ...`.
std::string text_of_metrics(const ScoredArm& scored) {
  std::string text;
  for (const ArmMetric& metric : scored.metrics)
    text += (text.empty() ? "" : ", ") + std::to_string(metric.records.size()) + " records of " +
            metric.task + " " + metric.name +
            (metric.filter == "none" ? "" : " (" + metric.filter + ")");
  return text;
}

// Names are what results are kept by, and seeds what drawn vectors are made from.
void require_proper(const std::vector<Arm>& arms) {
  std::set<std::string> names;
  for (const Arm& arm : arms) {
    const bool is_drawn = arm.kind == ArmKind::kRandom || arm.kind == ArmKind::kPermuted;
    if (is_drawn && !arm.seed)
      throw UsageError({{}, {}, "the arm '" + printable(arm.name) + "' without a seed", "one", {}});
    if (!names.insert(arm.name).second)
      throw UsageError({{}, {}, "two arms named '" + printable(arm.name) + "'", "each once", {}});
  }
}

class Run {
 public:
  Run(const TaskVector& vector, const std::vector<Arm>& arms, std::size_t layers,
      const AblationOptions& options)
      : arms_(arms), layers_(layers), options_(options), scored_(arms.size()) {
    require_proper(arms);
    const std::vector<std::string> tensors = vector.names();
    for (const Arm& arm : arms) stages_.push_back(stage_weights(arm, tensors, layers));
    if (!options.journal.empty())
      journal_.emplace(options.journal, options.fingerprint, options.begin_anew);
  }

  void score(ArmScorer& scorer) {
    const std::vector<ArmTurn> turns = plan_turns(stages_, arms_to_score());
    LayerProgress progress(options_.run, turns, layers_);
    for (const ArmTurn& turn : turns) {
      stream::check_cancelled(options_.run);
      const Arm& arm = arms_[turn.arm];
      ScoredArm scored = scorer.score(arm, turn, [&](double share) { progress.tell(turn, share); });
      require_same_metrics(arm, scored);
      scored_[turn.arm] = std::move(scored);
      if (journal_) journal_->add(arm.name, *scored_[turn.arm]);
      if (options_.on_arm) options_.on_arm(result_of(turn.arm, turn.arm));
      progress.finish(turn);
    }
  }

  bool has_all() { return arms_to_score().empty(); }

  Ablation result() const {
    Ablation ablation;
    for (std::size_t i = 0; i < arms_.size(); ++i) {
      ablation.arms.push_back(result_of(i, first_with_weights_of(i)));
    }
    add_effects(ablation);
    return ablation;
  }

 private:
  // Of an arm, from what was scored with the same weights.
  ArmResult result_of(std::size_t arm, std::size_t scored) const {
    ArmResult result{arms_[arm], scored_[scored]->metrics, {}, scored_[scored]->realised, {}};
    if (scored != arm) result.same_weights_as = arms_[scored].name;
    if (arms_[arm].kind == ArmKind::kTarget) result.realised.reset();
    return result;
  }

  // An evaluator outside may have failed in part. To be told before the arm counts as finished.
  void require_same_metrics(const Arm& arm, const ScoredArm& scored) const {
    for (std::size_t i = 0; i < arms_.size(); ++i) {
      if (!scored_[i]) continue;
      const std::string others = text_of_metrics(*scored_[i]), own = text_of_metrics(scored);
      if (own == others) return;
      throw UsageError({arm.name,
                        {},
                        "scores of " + own,
                        "those of '" + arms_[i].name + "': " + others,
                        "look at what scores the models, then go on"});
    }
  }

  std::size_t first_with_weights_of(std::size_t arm) const {
    return static_cast<std::size_t>(std::find(stages_.begin(), stages_.end(), stages_[arm]) -
                                    stages_.begin());
  }

  std::vector<std::size_t> arms_to_score() {
    std::vector<std::size_t> left;
    for (const std::size_t arm : order_arms(stages_)) {
      const ScoredArm* known = journal_ ? journal_->find(arms_[arm].name) : nullptr;
      if (known != nullptr)
        scored_[arm] = *known;
      else if (!scored_[arm])
        left.push_back(arm);
    }
    return left;
  }

  const std::vector<Arm>& arms_;
  std::size_t layers_;
  const AblationOptions& options_;
  std::vector<StageWeights> stages_;  // by arm
  std::optional<ArmJournal> journal_;
  std::vector<std::optional<ScoredArm>> scored_;  // by arm; of equal ones the first
};

std::size_t layers_of(const TaskVector& vector) {
  std::size_t layers = 1;
  for (const std::string& name : vector.names())
    if (const auto layer = site_of(name).layer)
      layers = std::max(layers, static_cast<std::size_t>(*layer) + 1);
  return layers;
}

}  // namespace

Ablation ablate(const Checkpoint& target, LanguageModel& model, const Tokenizer& tokenizer,
                const TaskVector& vector, const std::vector<Arm>& arms,
                const std::vector<Task>& tasks, const AblationOptions& options) {
  if (tasks.empty()) throw UsageError({{}, {}, "no task", "one at least", {}});
  Run run(vector, arms, static_cast<std::size_t>(model.info().layers), options);
  ModelScorer scorer(target, model, tokenizer, vector, tasks, options);
  run.score(scorer);
  scorer.restore();
  return run.result();
}

Ablation ablate(const Checkpoint& target, const TaskVector& vector, const std::vector<Arm>& arms,
                const OutsideEvaluator& evaluator, const std::string& folder,
                const AblationOptions& options) {
  Run run(vector, arms, layers_of(vector), options);
  const std::filesystem::path place = folder, journal = options.journal;
  std::error_code error;
  if (!journal.empty() && place.parent_path() == journal.parent_path())
    std::filesystem::remove_all(place, error);  // a killed run left it
  if (!run.has_all()) {
    FolderScorer scorer(target, vector, evaluator, folder, options);
    run.score(scorer);
  }
  return run.result();
}

}  // namespace suture
