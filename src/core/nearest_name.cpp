#include "core/nearest_name.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "suture/error.h"

namespace suture {
namespace {

constexpr std::size_t kMaxComparedBytes = 200;
constexpr std::size_t kMaxSuggestions = 3;

// Levenshtein distance, one row at a time.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

}  // namespace

std::string did_you_mean(const std::string& text, std::vector<std::string> candidates) {
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  std::vector<std::pair<std::size_t, std::string>> near;
  for (std::string& candidate : candidates) {
    if (text.size() > kMaxComparedBytes || candidate.size() > kMaxComparedBytes) continue;
    const std::size_t distance = edit_distance(text, candidate);
    if (distance * 2 <= std::max<std::size_t>(text.size(), 2))
      near.emplace_back(distance, std::move(candidate));
  }
  std::stable_sort(near.begin(), near.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string line;
  for (std::size_t i = 0; i < std::min(near.size(), kMaxSuggestions); ++i) {
    line += (i == 0 ? "did you mean '" : " or '") + printable(near[i].second) + "'";
  }
  return line.empty() ? line : line + "?";
}

}  // namespace suture
