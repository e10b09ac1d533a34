#include "report/csv_report.h"

#include "report/csv_text.h"

namespace suture::report {
namespace {

void add_vector_lines(std::string& csv, const char* level, const AnalysisRow& row,
                      const Analysis& analysis) {
  for (std::size_t v = 0; v < row.vectors.size(); ++v) {
    const VectorStatistics& s = row.vectors[v];
    csv += std::string(level) + "," + csv_field(row.name) + "," + csv_field(analysis.vectors[v]) +
           ",," + std::to_string(s.elements) + "," + csv_number(s.norm) + "," +
           csv_number(s.relative_norm) + "," + csv_number(s.rms) + "," + csv_number(s.max) + "," +
           csv_number(s.changed_share()) + "," + std::to_string(s.non_finite) + ",,,\n";
  }
}

void add_pair_lines(std::string& csv, const char* level, const AnalysisRow& row,
                    const Analysis& analysis) {
  for (std::size_t p = 0; p < row.pairs.size(); ++p) {
    const PairStatistics& s = row.pairs[p];
    csv += std::string(level) + "," + csv_field(row.name) + "," +
           csv_field(analysis.vectors[analysis.pairs[p].first]) + "," +
           csv_field(analysis.vectors[analysis.pairs[p].second]) + "," +
           std::to_string(s.both_changed) + ",,,,,,," + csv_number(s.cosine) + "," +
           csv_number(s.sign_agreement) + "," + csv_number(s.sign_agreement_by_chance) + "\n";
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
