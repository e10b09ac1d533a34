#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "suture/task.h"

#include "core/pattern.h"

namespace suture::evaluation {

/// The completion up to the first of each stop text, one after the other in the order given: the
/// text that is kept does not depend on where generation happened to end.
std::string cut_at_stops(std::string completion, const std::vector<std::string>& stops);

/// Takes an answer out of a completion as the filter says.
class AnswerExtractor {
 public:
  /// Throws UsageError when the filter's regex is none.
  explicit AnswerExtractor(const AnswerFilter& filter);
  std::string extract(const std::string& completion) const;
  const std::string& name() const { return filter_.name; }

 private:
  AnswerFilter filter_;
  std::vector<Pattern> pattern_;  // none or one
};

/// Compares answers with targets.
class AnswerComparer {
 public:
  /// Throws UsageError when one of the regexes is none.
  explicit AnswerComparer(const AnswerComparison& comparison);
  bool equal(std::string_view answer, std::string_view target) const;

 private:
  std::string reduced(std::string_view text) const;
  AnswerComparison comparison_;
  std::vector<Pattern> ignored_;
};

}  // namespace suture::evaluation
