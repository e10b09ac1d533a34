#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "suture/checkpoint.h"
#include "suture/compatibility.h"
#include "suture/evaluation.h"
#include "suture/language_model.h"
#include "suture/realised_change.h"
#include "suture/run_options.h"
#include "suture/selection.h"
#include "suture/task.h"
#include "suture/task_vector.h"
#include "suture/tokenizer.h"

namespace suture {

/// What a model of an ablation is: the target with this much of the vector.
enum class ArmKind {
  kTarget,     ///< The target alone.
  kVector,     ///< The whole vector at a scale.
  kNegated,    ///< The whole vector, subtracted.
  kRandom,     ///< A random vector with each tensor's norm that of the vector.
  kPermuted,   ///< The vector with its layers in another order.
  kWithout,    ///< All of the vector but one part.
  kOnly,       ///< One part of the vector.
  kBottomUp,   ///< The vector up to a layer, counted from the embedding.
  kTopDown,    ///< The vector from a layer on.
  kSelection,  ///< A part of the vector that the user named.
};

/// `target`, `vector`, `negated`, `random`, `permuted`, `without`, `only`, `bottom-up`, `top-down`
/// or `selection`.
const char* name_of(ArmKind kind);

/// One model of an ablation: `target + scale * (part of the vector)`.
struct Arm {
  std::string name;  ///< Unique: `target`, `vector`, `without layer=3`, `random seed=2`, ...
  ArmKind kind = ArmKind::kTarget;
  /// Arms of one family are tested together: Holm's correction runs over them. `controls`,
  /// `without layer`, `only block`, `scales`, ...
  std::string family;
  std::string part;     ///< What the arm leaves out or keeps: `layer=3`; empty for whole vectors.
  Selection selection;  ///< Tensors on which the vector is in the model.
  double scale = 1;
  std::optional<std::uint64_t> seed;  ///< Of random vectors and permutations.
  std::string reference;  ///< Name of the arm that this one is compared with; empty for the target.
};

/// Parts that a design takes one after the other.
enum class AblationUnit { kLayer, kBlock, kModule };

/// How the parts make arms. The cumulative designs take layers only.
enum class AblationDesign { kLeaveOneOut, kOnlyOne, kBottomUp, kTopDown };

/// Arms that tell what else could have moved a score.
struct ControlOptions {
  bool enabled = true;
  std::size_t random_seeds = 3;  ///< Random vectors with each tensor's norm matched.
  /// Vectors with their layers in another order; none where layers cannot change places.
  std::size_t permutations = 1;
  std::uint64_t first_seed = 0;  ///< Seeds count up from here.
};

/// Which arms an ablation has.
struct AblationPlan {
  std::vector<AblationDesign> designs{AblationDesign::kLeaveOneOut};
  std::vector<AblationUnit> units{AblationUnit::kLayer};
  std::vector<Selection> selections;  ///< An arm for each, besides those of the designs.
  double scale = 1;
  ControlOptions controls;
};

/// The arms of a plan for this vector: references and controls first, then design by design. Parts
/// that the vector does not reach make no arm; what is outside the layers counts as one more part.
/// Throws UsageError for a selection that selects nothing of the vector, and for a plan that leaves
/// nothing to compare.
std::vector<Arm> ablation_arms(const TaskVector& vector, const AblationPlan& plan);

/// The target and the vector at each scale; controls at the scale of the largest size. Throws
/// UsageError when there is no scale, or one twice.
std::vector<Arm> sweep_arms(const TaskVector& vector, const std::vector<double>& scales,
                            const ControlOptions& controls);

/// One measure of one arm on one task, by record. Records are the same in all arms.
struct ArmMetric {
  std::string task, name, filter;  ///< `filter` is `none` where there is none.
  bool is_share = false;           ///< Every record is right (1) or wrong (0).
  bool higher_is_better = true;
  std::vector<double> records;  ///< Empty when an outside evaluator told only the score.
  double value = 0;             ///< Mean of the records, or what the evaluator told.
};

/// An arm's difference from its reference on the same records.
struct ArmEffect {
  double reference_value = 0;
  double difference = 0;                 ///< The arm's value less the reference's.
  std::optional<double> standard_error;  ///< Absent for fewer than two records.
  std::optional<double> low, high;       ///< 95 % interval.
  std::optional<double> p, p_holm;       ///< Two-sided; corrected over the arm's family.
  std::size_t gained = 0, lost = 0;      ///< Shares: records that became right, or wrong.
  std::size_t non_finite = 0;  ///< Records without a finite difference; then nothing is tested.
  /// The smallest true difference that this sample would have shown, with 80 % power at the first
  /// step of Holm's correction.
  std::optional<double> smallest_detectable;
};

/// What came of an arm.
struct ArmResult {
  Arm arm;
  std::vector<ArmMetric> metrics;
  std::vector<std::optional<ArmEffect>> effects;  ///< By metric; none for the target.
  std::optional<RealisedChange> realised;         ///< What rounding left of the arm's vector.
  std::string same_weights_as;  ///< Name of an earlier arm with the same weights; else empty.
};

/// The result of a sweep or an ablation: arms in the order of the plan.
struct Ablation {
  std::vector<ArmResult> arms;

  /// Null when there is none.
  const ArmResult* find(const std::string& arm) const;
};

/// How a sweep or an ablation runs.
struct AblationOptions {
  EvaluationOptions evaluation;  ///< The same for every arm.
  VocabularyPolicy vocabulary = VocabularyPolicy::kSame;

  /// Memory for hidden states that arms take over from each other. What does not fit is computed
  /// again; results do not depend on it.
  std::uint64_t reuse_budget_bytes = std::uint64_t{2} << 30;

  /// Where finished arms are kept, a line of JSON each, so that a killed run can be gone on with;
  /// empty: nowhere. The fingerprint tells this run from others: of target, vector, tasks, options.
  std::string journal;
  std::string fingerprint;
  bool begin_anew = false;  ///< Take no notice of what the journal holds.

  std::function<void(const ArmResult&)> on_arm;  ///< Told of each finished arm; no effects yet.
  RunOptions run;
};

/// Scores `model` as every arm makes it, on every task. `model` must hold the weights of `target`;
/// vectors are applied in place, one arm after the other, as `inject` would write them, and at the
/// end, also where an error ends it, the weights are the target's bytes again. Each record's score
/// is to the bit what `evaluate` gives for the model that `inject` writes (on a CPU, with the same
/// threads).
///
/// Arms that share their lower layers are run one after the other and take over each other's hidden
/// states, within the budget; arms with the same weights are run once. Cost: leaving each of L
/// layers out computes a little over L / 2 models' layers.
///
/// Throws what `evaluate` and `inject` throw, and UsageError when the journal is another run's;
/// Interrupted. Models and vector are taken to be compatible: see `check`.
Ablation ablate(const Checkpoint& target, LanguageModel& model, const Tokenizer& tokenizer,
                const TaskVector& vector, const std::vector<Arm>& arms,
                const std::vector<Task>& tasks, const AblationOptions& options);

/// What an outside evaluator makes of a model folder.
using OutsideEvaluator =
    std::function<std::vector<ArmMetric>(const std::string& folder, const Arm& arm)>;

/// The same with an evaluator outside: each arm's model stands in `folder` while it is called. The
/// folder must not exist; it is made, and removed at the end. Beside a journal, which one run has
/// at a time, what stands in its place was left by a killed run and is removed. From arm to arm
/// only the tensors that differ are written over.
Ablation ablate(const Checkpoint& target, const TaskVector& vector, const std::vector<Arm>& arms,
                const OutsideEvaluator& evaluator, const std::string& folder,
                const AblationOptions& options);

}  // namespace suture
