#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "suture/error.h"

#include "report/ablation_report.h"
#include "report/ablation_table.h"

namespace suture::report {
namespace {

constexpr std::size_t kMaxArmsListed = 5;
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

bool same_task(const ArmMetric& a, const ArmMetric& b) { return a.task == b.task; }

// Of each task the metrics, in the order of the first arm that has any.
std::vector<std::vector<const ArmMetric*>> metrics_by_task(const std::vector<ArmMetric>& metrics) {
  std::vector<std::vector<const ArmMetric*>> tasks;
  for (const ArmMetric& metric : metrics) {
    auto at = std::find_if(tasks.begin(), tasks.end(),
                           [&](const auto& task) { return same_task(*task.front(), metric); });
    if (at == tasks.end()) at = tasks.insert(tasks.end(), std::vector<const ArmMetric*>());
    at->push_back(&metric);
  }
  return tasks;
}

const std::vector<ArmMetric>& all_metrics(const Ablation& ablation) {
  static const std::vector<ArmMetric> kNone;
  for (const ArmResult& result : ablation.arms)
    if (!result.metrics.empty()) return result.metrics;
  return kNone;
}

// `exact_match,strict`, or the first of the name.
const ArmMetric* find_metric(const std::vector<const ArmMetric*>& metrics,
                             const std::string& wanted) {
  for (const ArmMetric* metric : metrics)
    if (wanted == metric->name || wanted == metric->name + "," + metric->filter) return metric;
  return nullptr;
}

const ArmMetric* first_metric(const std::vector<const ArmMetric*>& metrics, bool is_share) {
  for (const ArmMetric* metric : metrics)
    if (metric->is_share == is_share) return metric;
  return nullptr;
}

std::string primary_metric(const std::vector<Task>& tasks, const std::string& name) {
  for (const Task& task : tasks)
    if (task.name() == name) return task.settings().primary_metric;
  return {};
}

// One that says right or wrong, and one that moves before answers do.
std::vector<const ArmMetric*> shown_of(const std::vector<const ArmMetric*>& metrics,
                                       const std::string& primary) {
  const ArmMetric* main = find_metric(metrics, primary);
  if (main == nullptr) main = first_metric(metrics, true);
  const ArmMetric* continuous = first_metric(metrics, false);
  std::vector<const ArmMetric*> shown;
  if (main != nullptr) shown.push_back(main);
  if (continuous != nullptr && (main == nullptr || main->is_share)) shown.push_back(continuous);
  return shown;
}

std::string count_of(std::size_t count, const std::string& thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

// `a, b and 3 more`
std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  const std::size_t shown = std::min(names.size(), kMaxArmsListed);
  for (std::size_t i = 0; i < shown; ++i) text += (i > 0 ? ", " : "") + printable(names[i]);
  if (shown < names.size()) text += " and " + std::to_string(names.size() - shown) + " more";
  return text;
}

// --- What a run was ----------------------------------------------------------------------------

std::string labelled(std::string label, const std::string& text, const TextStyle& style) {
  label.resize(11, ' ');
  const int columns = static_cast<int>(label.size());
  const std::string lines = wrapped(text, 0, {style.unicode, style.width - columns});
  std::string result;
  for (std::size_t at = 0; !text.empty() && at < lines.size();) {
    const std::size_t end = lines.find('\n', at) + 1;
    result += label + lines.substr(at, end - at);
    label.assign(label.size(), ' ');
    at = end;
  }
  return result;
}

std::string overview(const AblationProtocol& protocol, const TextStyle& style) {
  const EvaluationProtocol& target = protocol.evaluation;
  std::string details;
  for (const std::string& detail : {target.architecture, target.dtype})
    if (!detail.empty()) details += (details.empty() ? "" : ", ") + printable(detail);
  return labelled("target", printable(target.model) + (details.empty() ? "" : " (" + details + ")"),
                  style) +
         labelled("vector", printable(protocol.vector), style) +
         labelled("scored by", printable(protocol.outside_evaluator), style);
}

// --- Below a table -----------------------------------------------------------------------------

struct Range {
  double sum = 0, low = 0, high = 0;
  std::size_t count = 0;

  void add(double value) {
    low = count == 0 ? value : std::min(low, value);
    high = count == 0 ? value : std::max(high, value);
    sum += value;
    ++count;
  }
  double mean() const { return sum / static_cast<double>(count); }
};

// `0.027`, or `0.027 to 0.038`.
template <typename Text>
std::string range_text(const Range& range, int decimals, Text text) {
  const std::string low = text(range.low, decimals), high = text(range.high, decimals);
  return low == high ? low : low + " to " + high;
}

// What can be told of a family, and what could have been.
std::string verdict(const EffectFamily& family, int decimals) {
  std::size_t tested = 0, significant = 0;
  Range detectable;
  for (const EffectRow& row : family.rows) {
    if (row.effect == nullptr) continue;
    tested += row.effect->p_holm.has_value();
    significant += row.is_significant();
    if (const double smallest = row.effect->smallest_detectable.value_or(kUnknown);
        std::isfinite(smallest))
      detectable.add(smallest);
  }
  if (tested == 0) return {};
  std::string text = family.name.empty() ? "" : printable(family.name) + ": ";
  text += significant == 0
              ? "nothing here is distinguishable from " + family.reference()
              : std::to_string(significant) + " of " + std::to_string(tested) +
                    (significant == 1 ? " differs from " : " differ from ") + family.reference();
  if (detectable.count > 0)
    text += "; smallest effect that " +
            std::string(significant == 0 ? "would have shown" : "shows") + ": " +
            range_text(detectable, decimals, score_text);
  return text + ".";
}

// Several random vectors are one question: what does any change of this size do?
std::string seeds_summary(const std::vector<EffectFamily>& families, ArmKind kind, const char* what,
                          int decimals) {
  Range scores, effects;
  for (const EffectFamily& family : families)
    for (const EffectRow& row : family.rows) {
      if (row.result->arm.kind != kind || row.metric == nullptr) continue;
      scores.add(row.metric->value);
      if (row.effect != nullptr) effects.add(row.effect->difference);
    }
  if (scores.count < 2) return {};
  std::string text = count_of(scores.count, what) + ": score " +
                     score_text(scores.mean(), decimals) + " on average (" +
                     range_text(scores, decimals, score_text) + ")";
  if (effects.count > 0)
    text += ", effect " + effect_text(effects.mean(), decimals) + " (" +
            range_text(effects, decimals, effect_text) + ")";
  return text + ".";
}

std::string non_finite_note(const std::vector<EffectFamily>& families) {
  std::vector<std::string> arms;
  std::size_t most = 0;
  for (const EffectFamily& family : families)
    for (const EffectRow& row : family.rows) {
      if (row.effect == nullptr || row.effect->non_finite == 0) continue;
      arms.push_back(row.result->arm.name);
      most = std::max(most, row.effect->non_finite);
    }
  if (arms.empty()) return {};
  return "Not tested, since up to " + count_of(most, "record") +
         " have no finite difference: " + list_of(arms) + ".";
}

std::string effects_note(std::size_t records) {
  std::string text = "An effect is an arm's score minus that of the arm it is against";
  return text + (records > 0 ? ", on the same " + count_of(records, "record") + "."
                             : "; without the records' scores it has no interval.");
}

std::string notes(const std::vector<EffectFamily>& families, const ArmMetric& metric,
                  const TextStyle& style) {
  const int decimals = decimals_of(families);
  std::vector<std::string> lines{effects_note(metric.records.size())};
  for (const EffectFamily& family : families) lines.push_back(verdict(family, decimals));
  lines.push_back(seeds_summary(families, ArmKind::kRandom, "random vector", decimals));
  lines.push_back(seeds_summary(families, ArmKind::kPermuted, "permutation", decimals));
  lines.push_back(non_finite_note(families));
  std::string text;
  for (const std::string& line : lines)
    if (!line.empty()) text += wrapped(line, 2, style);
  return text;
}

std::string section(const Ablation& ablation, const ArmMetric& metric, const TextStyle& style) {
  const std::vector<EffectFamily> families = effects_of(ablation, metric);
  std::string title = printable(metric.task) + ": " + label_of(metric);
  if (!metric.records.empty()) title += ", " + count_of(metric.records.size(), "record");
  title += metric.higher_is_better ? ", higher is better" : ", lower is better";
  return "\n" + wrapped(title, 2, style) + "\n" + effect_table(families, style) + "\n" +
         notes(families, metric, style);
}

// --- Below all tables ----------------------------------------------------------------------------

bool has_intervals(const Ablation& ablation) {
  for (const ArmResult& result : ablation.arms)
    for (const std::optional<ArmEffect>& effect : result.effects)
      if (effect && effect->low && effect->high) return true;
  return false;
}

std::string legend(const TextStyle& style) {
  const std::string bar = style.unicode
                              ? "├──●──┤ is an effect with its 95 % interval, │ is zero, ← "
                                "and → lead beyond the axis."
                              : "|--o--| is an effect with its 95 % interval, : is zero, "
                                "< and > lead beyond the axis.";
  const std::string colours =
      style.colours == ColourDepth::kNone
          ? ""
          : " Blue is told from zero and above it, orange below it; grey is not told from zero.";
  return wrapped(bar + colours, 2, style) +
         wrapped(
             "Each interval stands alone: of 20 arms that change nothing, one misses zero. p is "
             "after Holm's correction over the arms under one heading; * marks p < 0.05.",
             2, style) +
         wrapped("The smallest effect that shows is shown by this many records with 80 % power.", 2,
                 style);
}

std::string hidden_note(const std::vector<std::vector<const ArmMetric*>>& tasks,
                        const std::vector<const ArmMetric*>& shown) {
  std::string text;
  for (const auto& metrics : tasks)
    for (const ArmMetric* metric : metrics) {
      if (std::find(shown.begin(), shown.end(), metric) != shown.end()) continue;
      text += text.empty() ? "Also measured: " : ", ";
      text += (tasks.size() > 1 ? printable(metric->task) + " " : "") + label_of(*metric);
    }
  return text.empty() ? text : text + "; --json and --csv have everything.";
}

std::string same_weights_notes(const Ablation& ablation, const TextStyle& style) {
  std::string text;
  for (const ArmResult& result : ablation.arms)
    if (!result.same_weights_as.empty())
      text += wrapped(printable(result.arm.name) + ": same weights as " +
                          printable(result.same_weights_as) + ".",
                      2, style);
  return text;
}

std::string rounding_warning(const Ablation& ablation, const TextStyle& style) {
  std::vector<std::string> poor;
  Range cosines, ratios;
  for (const ArmResult& result : ablation.arms) {
    if (!result.realised || !result.realised->is_poor()) continue;
    poor.push_back(result.arm.name);
    cosines.add(result.realised->cosine);
    ratios.add(result.realised->norm_ratio());
  }
  if (poor.empty()) return {};
  return wrapped("warning: rounding loses or distorts much of the vector in " + list_of(poor) +
                     ": cosine with what was wanted " + range_text(cosines, 2, score_text) +
                     ", norm ratio " + range_text(ratios, 2, score_text) +
                     ". A wider dtype or a larger scale keeps more of it.",
                 2, style);
}

std::string non_finite_warning(const Ablation& ablation, const TextStyle& style) {
  std::vector<std::string> arms;
  for (const ArmResult& result : ablation.arms)
    if (result.realised && result.realised->non_finite > 0) arms.push_back(result.arm.name);
  if (arms.empty()) return {};
  return wrapped("warning: weights became NaN or infinite in " + list_of(arms) +
                     ". A wider dtype may have room for them.",
                 2, style);
}

// A blank line before what is there.
std::string paragraph(const std::string& text) { return text.empty() ? text : "\n" + text; }

}  // namespace

std::string to_text(const AblationProtocol& protocol, const Ablation& ablation,
                    const TextStyle& style) {
  std::string text = overview(protocol, style);
  const auto tasks = metrics_by_task(all_metrics(ablation));
  std::vector<const ArmMetric*> shown;
  for (const auto& metrics : tasks) {
    const std::string primary = primary_metric(protocol.tasks, metrics.front()->task);
    for (const ArmMetric* metric : shown_of(metrics, primary)) {
      text += section(ablation, *metric, style);
      shown.push_back(metric);
    }
  }
  if (has_intervals(ablation)) text += paragraph(legend(style));
  const std::string hidden = hidden_note(tasks, shown);
  if (!hidden.empty()) text += paragraph(wrapped(hidden, 2, style));
  text += paragraph(same_weights_notes(ablation, style));
  return text + paragraph(rounding_warning(ablation, style) + non_finite_warning(ablation, style));
}

std::string arm_line(const ArmResult& result) {
  std::string text = printable(result.arm.name);
  const auto tasks = metrics_by_task(result.metrics);
  const char* separator = "  ";
  for (const auto& metrics : tasks) {
    const ArmMetric* metric = first_metric(metrics, true);
    if (metric == nullptr) metric = metrics.front();
    const EffectFamily alone{{}, {{&result, metric, nullptr}}};
    const int decimals = decimals_of({alone});
    text += separator + (tasks.size() > 1 ? printable(metric->task) + " " : "") +
            label_of(*metric) + " " + score_text(metric->value, decimals);
    const auto at = static_cast<std::size_t>(metric - result.metrics.data());
    if (at < result.effects.size() && result.effects[at])
      text += " (" + effect_text(result.effects[at]->difference, decimals) + ")";
    separator = ", ";
  }
  return text;
}

}  // namespace suture::report
