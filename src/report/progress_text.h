#pragma once

#include <optional>
#include <string>

#include "suture/run_options.h"

namespace suture::report {

/// How fast a pass moves bytes now, and how long it will take still.
struct ProgressRate {
  double bytes_per_second = 0;
  std::optional<double> seconds_left;  ///< Nothing while it is too early to tell.
};

/// Estimates the rate of a run from what it tells now and then: the mean of the last seconds, the
/// recent ones weighing more, so that neither a burst nor a stall makes the figure jump. A new
/// stage begins anew.
class ProgressEstimate {
 public:
  /// Takes in what was told at `seconds` on a clock that never goes back.
  ProgressRate update(const Progress& progress, double seconds);

 private:
  void begin(const Progress& progress, double seconds);

  std::string stage_;
  double begun_ = 0, last_ = 0;
  std::uint64_t last_bytes_ = 0;
  double weighted_bytes_ = 0, weighted_seconds_ = 0;
};

/// `writing  45 %  812.0 MB/s  3 s left`, at most `columns` long, without a line end.
std::string progress_text(const Progress& progress, const ProgressRate& rate, int columns);

}  // namespace suture::report
