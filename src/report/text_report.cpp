#include "report/text_report.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "suture/error.h"

#include "report/heat_map.h"

namespace suture::report {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr int kBarColumns = 24;
constexpr std::size_t kLargestTensors = 10;

const char* label_of(Severity severity) {
  switch (severity) {
    case Severity::kBlocker:
      return "STOP";
    case Severity::kWarning:
      return "warn";
    default:
      return "note";
  }
}

std::string relative(const VectorStatistics& statistics) {
  return statistics.relative_norm ? human_percent(*statistics.relative_norm) : "-";
}

double largest_norm(const std::vector<AnalysisRow>& rows, std::size_t vector) {
  double largest = 0;
  for (const AnalysisRow& row : rows) largest = std::max(largest, row.vectors[vector].norm);
  return largest;
}

// One table of a vector: a line per row, with a bar of its norm against the largest.
std::string norm_table(const char* heading, const std::vector<AnalysisRow>& rows,
                       std::size_t vector, const TextStyle& style) {
  Rows table{{heading, "norm", "relative", "rms", "max", "changed", ""}};
  const double largest = largest_norm(rows, vector);
  for (const AnalysisRow& row : rows) {
    const VectorStatistics& s = row.vectors[vector];
    table.push_back({printable(row.name), human_number(s.norm), relative(s), human_number(s.rms),
                     human_number(s.max), human_percent(s.changed_share()),
                     bar(largest > 0 ? s.norm / largest : 0, kBarColumns, style)});
  }
  return align(table) + "\n";
}

std::vector<AnalysisRow> largest_tensors(const Analysis& analysis, std::size_t vector) {
  std::vector<AnalysisRow> rows = analysis.tensors;
  std::stable_sort(rows.begin(), rows.end(), [vector](const AnalysisRow& a, const AnalysisRow& b) {
    return a.vectors[vector].norm > b.vectors[vector].norm;
  });
  if (rows.size() > kLargestTensors) rows.resize(kLargestTensors);
  return rows;
}

// Powers of two from the smallest to the largest magnitude that occurs.
std::string histogram_table(const VectorStatistics& statistics, const TextStyle& style) {
  const auto& counts = statistics.histogram.counts;
  const auto occupied = [](std::uint64_t count) { return count > 0; };
  const auto first = std::find_if(counts.begin(), counts.end(), occupied);
  const auto last = std::find_if(counts.rbegin(), counts.rend(), occupied).base();
  if (first == counts.end()) return {};
  const double most = static_cast<double>(*std::max_element(first, last));
  Rows table{{"magnitude from", "elements", ""}};
  for (auto at = first; at != last; ++at) {
    const auto exponent = statistics.histogram.first_exponent + (at - counts.begin());
    table.push_back({"2^" + std::to_string(exponent), human_count(*at),
                     bar(static_cast<double>(*at) / most, kBarColumns, style)});
  }
  return align(table) + "\n";
}

std::string describe_vector(const Analysis& analysis, std::size_t vector, const std::string& map,
                            const TextStyle& style) {
  const VectorStatistics& total = analysis.total.vectors[vector];
  std::string text = printable(analysis.vectors[vector]) + ": norm " + human_number(total.norm);
  if (total.relative_norm) text += ", " + human_percent(*total.relative_norm) + " of its base";
  text += "; " + human_percent(total.changed_share()) + " of " + human_count(total.elements) +
          " elements changed; largest " + human_number(total.max) + "\n";
  if (total.non_finite > 0)
    text += "warning: " + std::to_string(total.non_finite) +
            " elements are NaN or infinite; they are left out of every number here\n";
  if (!map.empty()) text += "\n" + map;
  text += "\n" + norm_table("layer", analysis.layers, vector, style);
  text += norm_table("block", analysis.blocks, vector, style);
  text += norm_table("module", analysis.modules, vector, style);
  text += norm_table("largest tensors", largest_tensors(analysis, vector), vector, style);
  return text + histogram_table(total, style);
}

std::string describe_pair(const Analysis& analysis, std::size_t pair, const TextStyle& style) {
  const auto [first, second] = analysis.pairs[pair];
  Rows table{{"layer", "cosine", "same sign", "by chance", "both changed", ""}};
  const auto add = [&](const std::string& name, const PairStatistics& s) {
    table.push_back({name, human_number(s.cosine),
                     s.both_changed > 0 ? human_percent(s.sign_agreement) : "-",
                     s.both_changed > 0 ? human_percent(s.sign_agreement_by_chance) : "-",
                     human_count(s.both_changed), bar(std::abs(s.cosine), kBarColumns, style)});
  };
  add("all", analysis.total.pairs[pair]);
  for (const AnalysisRow& row : analysis.layers) add(row.name, row.pairs[pair]);
  return printable(analysis.vectors[first]) + " against " + printable(analysis.vectors[second]) +
         "\n\n" + align(table) + "\n";
}

std::string list_left_out(const std::vector<std::string>& left_out) {
  constexpr std::size_t kMaxShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(left_out.size(), kMaxShown); ++i)
    text += (i > 0 ? ", " : "left out: ") + left_out[i];
  if (left_out.size() > kMaxShown)
    text += ", and " + std::to_string(left_out.size() - kMaxShown) + " more (--json lists all)";
  return text.empty() ? text : text + "\n";
}

// 0-3, 7
std::string list_numbers(const std::vector<std::size_t>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    text += (text.empty() ? "" : ", ") + std::to_string(numbers[i]);
    if (last > i) text += "-" + std::to_string(numbers[last]);
    i = last + 1;
  }
  return text;
}

bool is_forecast(const ExtractReport& report) {
  return report.plan && report.plan->sizes_are_forecast;
}

// What will be written is not always known before it is.
std::string written_bytes(const ExtractReport& report) {
  if (!report.plan) return human_bytes(report.bytes_written);
  if (!report.plan->knows_bytes_to_write())
    return "at most " + human_bytes(report.plan->bytes_to_write_at_most);
  return (is_forecast(report) ? "about " : "") + human_bytes(report.bytes_written);
}

// `stored as bf16 (99 tensors), f32 (179)`
std::string list_dtypes(const ExtractReport& report) {
  std::string text;
  for (const Dtype dtype : {Dtype::kBF16, Dtype::kF16, Dtype::kF32, Dtype::kF64}) {
    const auto at = report.dtypes.find(dtype);
    if (at == report.dtypes.end()) continue;
    const bool is_first = text.empty();
    std::string name(name_of(dtype));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const char* heading = is_forecast(report) ? "by a sample, likely stored as " : "stored as ";
    text += is_first ? heading : ", ";
    text += name + " (" + std::to_string(at->second) + (is_first ? " tensors)" : ")");
  }
  if (text.empty()) return text;
  if (report.sparse_tensors > 0)
    text += "; " + std::to_string(report.sparse_tensors) + " of them sparse";
  return text + "\n";
}

}  // namespace

std::string to_text(const RealisedChanges& changes) {
  const RealisedChange& total = changes.total;
  if (total.wanted_norm == 0 && total.non_finite == 0) return {};
  std::string text = "realised: " + human_percent(total.changed_share()) +
                     " of elements changed; cosine with the wanted change " +
                     human_number(total.cosine) + ", norm ratio " +
                     human_number(total.norm_ratio()) + "\n";
  if (total.non_finite > 0)
    text += "warning: " + std::to_string(total.non_finite) +
            " elements became NaN or infinite; a wider --dtype may have room for them\n";
  std::vector<std::size_t> poor;
  for (std::size_t layer = 0; layer < changes.layers.size(); ++layer)
    if (changes.layers[layer].is_poor()) poor.push_back(layer);
  if (!total.is_poor() && !changes.outside_layers.is_poor() && poor.empty()) return text;
  text += "warning: rounding loses or distorts much of this change";
  if (!poor.empty()) text += " in layers " + list_numbers(poor);
  if (changes.outside_layers.is_poor())
    text += poor.empty() ? " outside the layers" : " and outside";
  return text +
         "; --dtype f32 keeps it, a larger scale or --round stochastic --seed N keeps more of it\n";
}

std::string to_text(const Compatibility& compatibility, const TextStyle&) {
  std::string text;
  for (const Finding& finding : compatibility.findings) {
    text += std::string(label_of(finding.severity)) + "  " + finding.topic + ": " + finding.found +
            "\n";
    if (!finding.meaning.empty()) text += "      " + finding.meaning + "\n";
    if (!finding.remedy.empty()) text += "      -> " + finding.remedy + "\n";
  }
  if (!compatibility.kinship.empty()) {
    Rows table{{"kinship", "distance", "cosine", ""}};
    for (const KinshipPair& pair : compatibility.kinship) {
      table.push_back({printable(pair.first + " from " + pair.second),
                       human_percent(pair.relative_distance), human_number(pair.cosine), ""});
    }
    text += align(table);
  }
  return text + (compatibility.fit() ? "fit for surgery\n" : "not fit for surgery\n");
}

std::string to_text(const Analysis& analysis, const TextStyle& style) {
  std::string text;
  const std::vector<HeatMap> maps = heat_maps_of(analysis);
  const HeatScale scale = common_scale(maps);
  for (std::size_t v = 0; v < analysis.vectors.size(); ++v)
    text += describe_vector(analysis, v, to_text(maps[v], scale, style), style);
  for (std::size_t p = 0; p < analysis.pairs.size(); ++p) text += describe_pair(analysis, p, style);
  return text;
}

std::string to_text(const ExtractReport& report) {
  const double changed = report.elements > 0 ? static_cast<double>(report.changed_elements) /
                                                   static_cast<double>(report.elements)
                                             : 0;
  std::string text = std::to_string(report.tensors) + " tensors, " + written_bytes(report);
  // A dry run has measured nothing.
  if (report.norm > 0 || report.base_norm > 0) text += "; norm " + human_number(report.norm);
  if (report.base_norm > 0) {
    text += " (" + human_percent(report.norm / report.base_norm) + " of the base); " +
            human_percent(changed) + " of elements changed";
  }
  text += "\n" + list_dtypes(report);
  if (report.widened_tensors > 0)
    text += std::to_string(report.widened_tensors) +
            " tensors are stored as float64, so that base + vector is tuned to the bit\n";
  if (report.inexact_elements > 0)
    text += "warning: base + vector is not tuned to the bit in " +
            std::to_string(report.inexact_elements) + " elements\n";
  return text + list_left_out(report.left_out);
}

std::string to_text(const InjectReport& report) {
  std::string text = std::to_string(report.computed_tensors) +
                     (report.computed_tensors == 1 ? " tensor" : " tensors") + " computed, " +
                     std::to_string(report.copied_tensors) + " copied as they were; " +
                     human_bytes(report.bytes_written) + "\n";
  if (report.mapped_rows > 0)
    text += std::to_string(report.mapped_rows) + " vocabulary rows matched by token text\n";
  text += to_text(report.realised);
  return text + list_left_out(report.left_out);
}

}  // namespace suture::report
