#pragma once

#include <optional>
#include <string>

#include "report/colour.h"
#include "report/text.h"

namespace suture::report {

/// A range of values over columns of the terminal, common to the rows of a table.
struct IntervalAxis {
  double low = 0, high = 0;  ///< At the first and the last column; finite, `low` < `high`.
  int columns = 0;           ///< At least 3.
};

/// `  ├──●──┤  │`: a point with its whiskers, and a mark at zero. What lies beyond the axis ends in
/// an arrow. Without a finite value, the mark alone; without an interval, no whiskers. Of exactly
/// the axis' columns. The point and its whiskers are in a colour, where there are colours.
std::string interval_bar(const IntervalAxis& axis, double value, std::optional<double> low,
                         std::optional<double> high, const TextStyle& style, Ink ink = Ink::kPlain);

/// The ends of the axis and zero, as text above the bars; what has no room is left out. Of exactly
/// the axis' columns.
std::string axis_labels(const IntervalAxis& axis, const std::string& low, const std::string& high);

}  // namespace suture::report
