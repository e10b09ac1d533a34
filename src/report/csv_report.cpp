#include "report/csv_report.h"

#include <cstdio>
#include <optional>

namespace suture::report {
namespace {

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string number(const std::optional<double>& value) {
  return value ? number(*value) : std::string();
}

// Names are hostile: quoted where needed, and never read as a formula.
std::string field(std::string text) {
  if (!text.empty() && std::string("=+-@\t\r").find(text[0]) != std::string::npos)
    text.insert(0, "'");
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void add_vector_lines(std::string& csv, const char* level, const AnalysisRow& row,
                      const Analysis& analysis) {
  for (std::size_t v = 0; v < row.vectors.size(); ++v) {
    const VectorStatistics& s = row.vectors[v];
    csv += std::string(level) + "," + field(row.name) + "," + field(analysis.vectors[v]) + ",," +
           std::to_string(s.elements) + "," + number(s.norm) + "," + number(s.relative_norm) + "," +
           number(s.rms) + "," + number(s.max) + "," + number(s.changed_share()) + "," +
           std::to_string(s.non_finite) + ",,,\n";
  }
}

void add_pair_lines(std::string& csv, const char* level, const AnalysisRow& row,
                    const Analysis& analysis) {
  for (std::size_t p = 0; p < row.pairs.size(); ++p) {
    const PairStatistics& s = row.pairs[p];
    csv += std::string(level) + "," + field(row.name) + "," +
           field(analysis.vectors[analysis.pairs[p].first]) + "," +
           field(analysis.vectors[analysis.pairs[p].second]) + "," +
           std::to_string(s.both_changed) + ",,,,,,," + number(s.cosine) + "," +
           number(s.sign_agreement) + "," + number(s.sign_agreement_by_chance) + "\n";
  }
}

}  // namespace

std::string to_csv(const Analysis& analysis) {
  std::string csv =
      "level,part,vector,other_vector,elements,norm,relative_norm,rms,max,changed,non_finite,"
      "cosine,sign_agreement,sign_agreement_by_chance\n";
  const auto add = [&](const char* level, const std::vector<AnalysisRow>& rows) {
    for (const AnalysisRow& row : rows) add_vector_lines(csv, level, row, analysis);
    for (const AnalysisRow& row : rows) add_pair_lines(csv, level, row, analysis);
  };
  add("total", {analysis.total});
  add("layer", analysis.layers);
  add("block", analysis.blocks);
  add("module", analysis.modules);
  add("tensor", analysis.tensors);
  return csv;
}

}  // namespace suture::report
