#include "report/spectrum_text.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "suture/error.h"

namespace suture::report {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr std::size_t kShown = 10;

// One number where the ends look alike.
std::string interval_text(const Interval& interval) {
  const std::string low = human_number(interval.low), high = human_number(interval.high);
  return low == high ? low : low + " to " + high;
}

std::string percent_text(const std::optional<double>& share) {
  return share ? human_percent(*share) : "-";
}

std::string number_text(const std::optional<double>& value) {
  return value ? human_number(*value) : "-";
}

// The rows with the largest values, falling; rows without one are left out.
std::vector<const SpectrumRow*> largest(
    const std::vector<SpectrumRow>& rows,
    const std::function<std::optional<double>(const SpectrumRow&)>& value) {
  std::vector<const SpectrumRow*> found;
  for (const SpectrumRow& row : rows)
    if (value(row)) found.push_back(&row);
  std::stable_sort(found.begin(), found.end(), [&](const SpectrumRow* a, const SpectrumRow* b) {
    return *value(*a) > *value(*b);
  });
  if (found.size() > kShown) found.resize(kShown);
  return found;
}

double over_noise(const TensorSpectrum& spectrum) {
  return spectrum.rank1_energy_of_noise > 0 ? spectrum.rank1_energy / spectrum.rank1_energy_of_noise
                                            : 0;
}

std::string describe_vector(const SpectrumReport& report, std::size_t v) {
  Rows table{{"spectrum", "rank-1 energy", "by noise", "stable rank", "effective rank", "drift",
              "unchanged", "in small 30 %"}};
  const auto value = [v](const SpectrumRow& row) -> std::optional<double> {
    if (!row.vectors[v]) return std::nullopt;
    return over_noise(*row.vectors[v]);
  };
  for (const SpectrumRow* row : largest(report.tensors, value)) {
    const TensorSpectrum& s = *row->vectors[v];
    table.push_back({printable(row->name), human_percent(s.rank1_energy),
                     human_percent(s.rank1_energy_of_noise), interval_text(s.stable_rank),
                     interval_text(s.effective_rank), number_text(s.spectral_drift),
                     human_percent(s.unchanged_bitwise), percent_text(s.changed_in_small_weights)});
  }
  std::string text = printable(report.vectors[v]) + ": tensors that stand out most from noise, " +
                     std::to_string(report.rank) + " directions\n\n" + align(table) + "\n";
  std::size_t refused = 0;
  for (const SpectrumRow& row : report.tensors) refused += row.reasons[v].empty() ? 0 : 1;
  if (refused > 0)
    text += "warning: no spectrum of " + std::to_string(refused) +
            (refused == 1 ? " tensor" : " tensors") + " with NaN or infinite entries\n\n";
  return text;
}

std::string describe_pair(const SpectrumReport& report, std::size_t p) {
  Rows table{{"subspaces", "left", "by chance", "right", "by chance", "signs conflict", "by chance",
              "masks overlap", "by chance"}};
  const auto value = [p](const SpectrumRow& row) -> std::optional<double> {
    if (!row.pairs[p]) return std::nullopt;
    return row.pairs[p]->left_similarity + row.pairs[p]->right_similarity;
  };
  for (const SpectrumRow* row : largest(report.tensors, value)) {
    const PairSpectrum& s = *row->pairs[p];
    table.push_back({printable(row->name), human_percent(s.left_similarity),
                     human_percent(s.left_chance), human_percent(s.right_similarity),
                     human_percent(s.right_chance), human_percent(s.sign_conflict),
                     human_percent(s.sign_conflict_by_chance), human_percent(s.changed_overlap),
                     human_percent(s.changed_overlap_by_chance)});
  }
  const auto [first, second] = report.pairs[p];
  return printable(report.vectors[first]) + " against " + printable(report.vectors[second]) +
         ": tensors whose subspaces are most alike\n\n" + align(table) + "\n";
}

}  // namespace

std::string to_text(const SpectrumReport& report, const TextStyle&) {
  std::string text;
  for (std::size_t v = 0; v < report.vectors.size(); ++v) text += describe_vector(report, v);
  for (std::size_t p = 0; p < report.pairs.size(); ++p) text += describe_pair(report, p);
  if (!report.left_out.empty())
    text += std::to_string(report.left_out.size()) +
            (report.left_out.size() == 1 ? " tensor is no matrix and has"
                                         : " tensors are no matrices and have") +
            " no spectrum (--json lists them)\n";
  return text;
}

}  // namespace suture::report
