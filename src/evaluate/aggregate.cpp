#include "evaluate/aggregate.h"

#include <cmath>
#include <numbers>

#include "evaluate/statistics.h"

namespace suture::evaluation {
namespace {

MetricResult mean_metric(const std::string& name, const std::string& filter,
                         const std::vector<double>& values) {
  MetricResult metric;
  metric.name = name;
  metric.filter = filter;
  metric.value = mean(values);
  metric.higher_is_better = higher_is_better(name);
  if (values.size() < 2) return metric;
  metric.standard_error = standard_error_of_mean(values);
  const auto count = static_cast<double>(values.size());
  const double half = kNormal95 * *metric.standard_error;
  const Interval interval = is_share(name) ? wilson_interval(metric.value * count, count)
                                           : Interval{metric.value - half, metric.value + half};
  metric.low = interval.low;
  metric.high = interval.high;
  metric.interval = is_share(name) ? "wilson" : "normal";
  return metric;
}

// How a rate of nats becomes a metric, and its slope there.
struct Scale {
  const char* name;
  double (*value)(double nats);
  double (*slope)(double nats);
};
constexpr auto kExp = [](double nats) { return std::exp(nats); };
constexpr auto kBits = [](double nats) { return nats / std::numbers::ln2; };
constexpr auto kBitsSlope = [](double) { return 1 / std::numbers::ln2; };
constexpr auto kNats = [](double nats) { return nats; };
constexpr auto kOne = [](double) { return 1.0; };

MetricResult rate_metric(const Scale& scale, const std::vector<double>& nats,
                         const std::vector<double>& weights) {
  const RatioEstimate rate = ratio_estimate(nats, weights);
  MetricResult metric;
  metric.name = scale.name;
  metric.filter = "none";
  metric.value = scale.value(rate.ratio);
  metric.higher_is_better = false;
  if (nats.size() < 2) return metric;
  metric.standard_error = rate.standard_error * scale.slope(rate.ratio);
  // The rate is nearer to normal than its exponential, so the interval is made there.
  metric.low = scale.value(rate.ratio - kNormal95 * rate.standard_error);
  metric.high = scale.value(rate.ratio + kNormal95 * rate.standard_error);
  metric.interval = "delta";
  return metric;
}

}  // namespace

bool is_share(const std::string& metric) {
  return metric.starts_with("acc") || metric == "exact_match";
}

bool higher_is_better(const std::string& metric) {
  return metric != "target_nll_per_token" && metric != "nll_per_token";
}

std::vector<MetricResult> mean_metrics(const std::vector<RecordResult>& records) {
  std::vector<MetricResult> metrics;
  for (const RecordMetric& wanted : records.front().metrics) {
    std::vector<double> values;
    for (const RecordResult& record : records)
      for (const RecordMetric& metric : record.metrics)
        if (metric.name == wanted.name && metric.filter == wanted.filter)
          values.push_back(metric.value);
    metrics.push_back(mean_metric(wanted.name, wanted.filter, values));
  }
  return metrics;
}

std::vector<MetricResult> text_metrics(const std::vector<RecordResult>& records,
                                       const TextSizes& sizes) {
  std::vector<double> nats;
  for (const RecordResult& record : records) nats.push_back(-record.log_probabilities.front());
  return {rate_metric({"word_perplexity", kExp, kExp}, nats, sizes.words),
          rate_metric({"byte_perplexity", kExp, kExp}, nats, sizes.bytes),
          rate_metric({"bits_per_byte", kBits, kBitsSlope}, nats, sizes.bytes),
          rate_metric({"nll_per_token", kNats, kOne}, nats, sizes.tokens)};
}

}  // namespace suture::evaluation
