#include "analysis/rank_bounds.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace suture {
namespace {

// -p ln p
double entropy_of(double share) { return share > 0 ? -share * std::log(share) : 0; }

double sum_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

double squares_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum;
}

// The least that the remaining values add up to: few and large, since s^2 <= s * s_max.
double least_rest(const KnownSpectrum& known) {
  if (known.remaining == 0 || known.remaining_at_most <= 0) return 0;
  return std::max(0.0, known.squares - squares_of(known.high)) / known.remaining_at_most;
}

// The most: all equal.
double most_rest(const KnownSpectrum& known) {
  const auto count = static_cast<double>(known.remaining);
  const double squares = std::max(0.0, known.squares - squares_of(known.low));
  return std::min(std::sqrt(count * squares), count * known.remaining_at_most);
}

// The entropy of the shares whose first j add up to as much as the first j of any spectrum can.
double least_entropy(const KnownSpectrum& known) {
  const double rest = least_rest(known);
  double before = 0, behind = sum_of(known.low) + rest, share_before = 0, entropy = 0;
  for (std::size_t j = 0; j < known.high.size(); ++j) {
    before += known.high[j];
    behind -= known.low[j];
    const double share = before / (before + std::max(behind, rest));
    entropy += entropy_of(share - share_before);
    share_before = share;
  }
  if (rest <= 0) return entropy;
  const double whole = before + rest, largest = known.remaining_at_most;
  const double count = std::floor(rest / largest);
  return entropy + count * entropy_of(largest / whole) +
         entropy_of(std::max(0.0, rest - count * largest) / whole);
}

struct Point {
  double count, share;
};

bool is_below(const Point& middle, const Point& first, const Point& last) {
  return (middle.share - first.share) * (last.count - first.count) <=
         (last.share - first.share) * (middle.count - first.count);
}

// The entropy of the shares whose first j add up to as little as the first j of any spectrum can.
// Shares fall, so their partial sums are concave: no less than the hull of what they cannot be
// less than.
double most_entropy(const KnownSpectrum& known) {
  double before = 0, behind = sum_of(known.high) + most_rest(known);
  std::vector<Point> hull{{0, 0}};
  const auto add = [&](const Point& point) {
    while (hull.size() > 1 && is_below(hull.back(), hull[hull.size() - 2], point)) hull.pop_back();
    hull.push_back(point);
  };
  for (std::size_t j = 0; j < known.low.size(); ++j) {
    before += known.low[j];
    behind = std::max(0.0, behind - known.high[j]);
    if (before > 0) add({static_cast<double>(j + 1), before / (before + behind)});
  }
  add({static_cast<double>(known.low.size()) + static_cast<double>(known.remaining), 1});
  double entropy = 0;
  for (std::size_t i = 1; i < hull.size(); ++i) {
    const double count = hull[i].count - hull[i - 1].count;
    if (count > 0) entropy += count * entropy_of((hull[i].share - hull[i - 1].share) / count);
  }
  return entropy;
}

// The same spectrum with fewer values known.
KnownSpectrum first_of(const KnownSpectrum& known, std::size_t seen) {
  const auto count = static_cast<std::ptrdiff_t>(seen);
  KnownSpectrum fewer;
  fewer.low.assign(known.low.begin(), known.low.begin() + count);
  fewer.high.assign(known.high.begin(), known.high.begin() + count);
  fewer.squares = known.squares;
  fewer.remaining = known.remaining + static_cast<std::int64_t>(known.low.size() - seen);
  fewer.remaining_at_most = known.high[seen];
  return fewer;
}

bool is_zero(const KnownSpectrum& known) {
  return known.high.empty() || known.high.front() <= 0 || known.squares <= 0;
}

}  // namespace

Interval stable_rank_of(const KnownSpectrum& known) {
  if (is_zero(known)) return {};
  const double most = static_cast<double>(known.low.size()) + static_cast<double>(known.remaining);
  const auto rank = [&](double largest) {
    return largest > 0 ? std::clamp(known.squares / (largest * largest), 1.0, most) : most;
  };
  return {rank(known.high.front()), rank(known.low.front())};
}

Interval effective_rank_of(const KnownSpectrum& known) {
  if (is_zero(known)) return {};
  double least = least_entropy(known), most = most_entropy(known);
  // Later values are known less well than their sum of squares: each way to look is right.
  for (std::size_t seen = 1; known.remaining > 0 && seen < known.low.size(); ++seen) {
    const KnownSpectrum fewer = first_of(known, seen);
    least = std::max(least, least_entropy(fewer));
    most = std::min(most, most_entropy(fewer));
  }
  return {std::exp(std::min(least, most)), std::exp(most)};
}

}  // namespace suture
