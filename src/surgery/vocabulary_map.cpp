#include "surgery/vocabulary_map.h"

#include <algorithm>
#include <optional>

namespace suture {
namespace {

std::optional<std::vector<std::int64_t>> shifts_of(const std::string& token, std::int64_t row,
                                                   const std::vector<DonorVocabulary>& donors) {
  std::vector<std::int64_t> shifts;
  for (const DonorVocabulary& donor : donors) {
    const auto at = donor.tokenizer->ids.find(token);
    if (at == donor.tokenizer->ids.end() || at->second >= donor.rows) return std::nullopt;
    shifts.push_back(at->second - row);
  }
  return shifts;
}

}  // namespace

std::vector<RowRun> match_rows(const TokenizerContent& tokenizer, std::int64_t rows,
                               const std::vector<DonorVocabulary>& donors) {
  std::vector<std::pair<std::int64_t, const std::string*>> by_row;
  for (const auto& [token, row] : tokenizer.ids) {
    if (row < rows) by_row.emplace_back(row, &token);
  }
  // Texts of one row stay in the order of the texts, not of their addresses.
  std::stable_sort(by_row.begin(), by_row.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<RowRun> runs;
  for (const auto& [row, token] : by_row) {
    auto shifts = shifts_of(*token, row, donors);
    if (!shifts) continue;
    if (!runs.empty() && runs.back().first + runs.back().count > row)
      continue;  // two texts, one row
    if (!runs.empty() && runs.back().first + runs.back().count == row &&
        runs.back().shifts == *shifts) {
      ++runs.back().count;
    } else {
      runs.push_back({row, 1, std::move(*shifts)});
    }
  }
  return runs;
}

std::size_t count_rows(const std::vector<RowRun>& runs) {
  std::size_t rows = 0;
  for (const RowRun& run : runs) rows += static_cast<std::size_t>(run.count);
  return rows;
}

}  // namespace suture
