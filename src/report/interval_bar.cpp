#include "report/interval_bar.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace suture::report {
namespace {

struct Signs {
  const char *zero, *line, *crossed, *left, *right, *point, *beyond_left, *beyond_right;
};
constexpr Signs kUnicode{"│", "─", "┼", "├", "┤", "●", "←", "→"};
constexpr Signs kAscii{":", "-", "+", "|", "|", "o", "<", ">"};

// Values beyond the axis are a column beside it: -1 or `columns`.
int column_of(const IntervalAxis& axis, double value) {
  if (value < axis.low) return -1;
  if (value > axis.high) return axis.columns;
  // Halves, since the whole range may be more than a double holds.
  const double share = (value / 2 - axis.low / 2) / (axis.high / 2 - axis.low / 2);
  return std::isfinite(share) ? static_cast<int>(std::lround(share * (axis.columns - 1))) : 0;
}

class Cells {
 public:
  Cells(int columns, const Signs& signs)
      : cells_(static_cast<std::size_t>(columns), " "), signs_(signs) {}

  void put(int column, const char* sign) { cells_[static_cast<std::size_t>(column)] = sign; }
  int last() const { return static_cast<int>(cells_.size()) - 1; }

  void draw_whiskers(int low, int high, int zero) {
    for (int i = std::max(low, 0); i <= std::min(high, last()); ++i)
      put(i, i == zero ? signs_.crossed : signs_.line);
    if (low >= 0 && low <= last()) put(low, signs_.left);
    if (high >= 0 && high <= last()) put(high, signs_.right);
  }

  void mark_beyond(int low, int high) {
    if (low < 0) put(0, signs_.beyond_left);
    if (high > last()) put(last(), signs_.beyond_right);
  }

  std::string text() const { return text(0, last()); }

  // With a colour from one column to another.
  std::string text(int first, int end, Ink ink, ColourDepth depth) const {
    first = std::clamp(first, 0, last());
    end = std::clamp(end, 0, last());
    return text(0, first - 1) + inked(text(first, end), ink, depth) + text(end + 1, last());
  }

 private:
  std::string text(int first, int end) const {
    std::string text;
    for (int i = first; i <= end; ++i) text += cells_[static_cast<std::size_t>(i)];
    return text;
  }

  std::vector<const char*> cells_;
  const Signs& signs_;
};

}  // namespace

std::string interval_bar(const IntervalAxis& axis, double value, std::optional<double> low,
                         std::optional<double> high, const TextStyle& style, Ink ink) {
  const Signs& signs = style.unicode ? kUnicode : kAscii;
  Cells cells(axis.columns, signs);
  const int zero = column_of(axis, 0);
  if (zero >= 0 && zero < axis.columns) cells.put(zero, signs.zero);
  if (!std::isfinite(value)) return cells.text();
  const int point = column_of(axis, value);
  int first = point, last = point;
  if (low && high && !std::isnan(*low) && !std::isnan(*high)) {
    first = std::min(point, column_of(axis, *low));
    last = std::max(point, column_of(axis, *high));
    cells.draw_whiskers(first, last, zero);
  }
  cells.mark_beyond(first, last);
  if (point >= 0 && point < axis.columns) cells.put(point, signs.point);
  return cells.text(first, last, ink, style.colours);
}

std::string axis_labels(const IntervalAxis& axis, const std::string& low, const std::string& high) {
  const auto columns = static_cast<std::size_t>(axis.columns);
  std::string text(columns, ' ');
  if (low.size() + high.size() + 1 > columns) return text;
  text.replace(0, low.size(), low);
  text.replace(columns - high.size(), high.size(), high);
  const int zero = column_of(axis, 0);
  if (zero < 1 || zero + 1 >= axis.columns) return text;
  const auto at = static_cast<std::size_t>(zero);
  if (text.substr(at - 1, 3) == "   ") text[at] = '0';
  return text;
}

}  // namespace suture::report
