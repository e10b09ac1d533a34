#pragma once

#include <string>
#include <vector>

#include "suture/evaluation.h"

namespace suture::evaluation {

/// True for metrics that are 0 or 1 by record; the others are continuous measures.
bool is_share(const std::string& metric);

/// False for negative log-likelihoods.
bool higher_is_better(const std::string& metric);

/// Means of what each record says, with their errors and 95 % intervals: Wilson's for metrics that
/// are 0 or 1 by record, the normal one for others.
std::vector<MetricResult> mean_metrics(const std::vector<RecordResult>& records);

/// Weights of the texts, by record.
struct TextSizes {
  std::vector<double> words, bytes, tokens;
};

/// Perplexities of texts, bits per byte and negative log-likelihood per token, with errors by the
/// delta method.
std::vector<MetricResult> text_metrics(const std::vector<RecordResult>& records,
                                       const TextSizes& sizes);

}  // namespace suture::evaluation
