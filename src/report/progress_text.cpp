#include "report/progress_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "report/text.h"

namespace suture::report {
namespace {

constexpr double kMemorySeconds = 4;    // after which a rate weighs 1/e
constexpr double kTooEarlySeconds = 1;  // of a stage, to tell how long it will take

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::ceil(std::min(seconds, 1e9)));
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole % 3600 / 60) + " min";
}

std::string percent_text(const Progress& progress) {
  const double share = progress.bytes_total > 0 ? static_cast<double>(progress.bytes_done) /
                                                      static_cast<double>(progress.bytes_total)
                                                : 1;
  char text[16];
  std::snprintf(text, sizeof text, "%3.0f %%", std::floor(100 * std::min(share, 1.0)));
  return text;
}

std::string speed_text(const Progress& progress, double per_second) {
  if (*progress.unit == '\0') return human_bytes(static_cast<std::uint64_t>(per_second)) + "/s";
  char text[32];
  std::snprintf(text, sizeof text, "%.3g ", per_second);
  return text + std::string(progress.unit) + "/s";
}

}  // namespace

void ProgressEstimate::begin(const Progress& progress, double seconds) {
  stage_ = progress.stage;
  begun_ = last_ = seconds;
  last_bytes_ = progress.bytes_done;
  weighted_bytes_ = weighted_seconds_ = 0;
}

ProgressRate ProgressEstimate::update(const Progress& progress, double seconds) {
  if (progress.stage != stage_ || progress.bytes_done < last_bytes_) {
    begin(progress, seconds);
    return {};
  }
  const double passed = seconds - last_;
  const double decay = std::exp(-passed / kMemorySeconds);
  weighted_bytes_ =
      weighted_bytes_ * decay + static_cast<double>(progress.bytes_done - last_bytes_);
  weighted_seconds_ = weighted_seconds_ * decay + passed;
  last_ = seconds;
  last_bytes_ = progress.bytes_done;
  if (weighted_seconds_ <= 0) return {};
  ProgressRate rate{weighted_bytes_ / weighted_seconds_, {}};
  if (seconds - begun_ >= kTooEarlySeconds && rate.bytes_per_second > 0) {
    rate.seconds_left = static_cast<double>(progress.bytes_total -
                                            std::min(progress.bytes_total, progress.bytes_done)) /
                        rate.bytes_per_second;
  }
  return rate;
}

std::string progress_text(const Progress& progress, const ProgressRate& rate, int columns) {
  std::string text = std::string(progress.stage) + " " + percent_text(progress);
  if (rate.bytes_per_second > 0) text += "  " + speed_text(progress, rate.bytes_per_second);
  if (rate.seconds_left) text += "  " + duration_text(*rate.seconds_left) + " left";
  text.resize(std::min(text.size(), static_cast<std::size_t>(std::max(columns, 0))));
  return text;
}

}  // namespace suture::report
