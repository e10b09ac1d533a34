#include "evaluate/answer.h"

#include "evaluate/python_text.h"

namespace suture::evaluation {

std::string cut_at_stops(std::string completion, const std::vector<std::string>& stops) {
  for (const std::string& stop : stops)
    if (const std::size_t at = stop.empty() ? std::string::npos : completion.find(stop);
        at != std::string::npos)
      completion.resize(at);
  return completion;
}

AnswerExtractor::AnswerExtractor(const AnswerFilter& filter) : filter_(filter) {
  if (!filter.regex.empty()) pattern_.emplace_back(filter.regex, PatternText::kUnicode);
}

std::string AnswerExtractor::extract(const std::string& completion) const {
  if (pattern_.empty()) return completion;
  const std::vector<PatternMatch> matches = pattern_.front().find_all(completion);
  const auto count = static_cast<std::int64_t>(matches.size());
  const std::int64_t index =
      filter_.group_select < 0 ? count + filter_.group_select : filter_.group_select;
  if (index < 0 || index >= count) return filter_.fallback;

  const PatternMatch& match = matches[static_cast<std::size_t>(index)];
  if (match.groups.empty()) return std::string(stripped(match.text));
  if (match.groups.size() == 1) return std::string(stripped(match.groups.front()));
  for (const std::string& group : match.groups)
    if (!group.empty()) return std::string(stripped(group));
  return filter_.fallback;
}

AnswerComparer::AnswerComparer(const AnswerComparison& comparison) : comparison_(comparison) {
  for (const std::string& regex : comparison.regexes_to_ignore)
    ignored_.emplace_back(regex, PatternText::kUnicode);
}

std::string AnswerComparer::reduced(std::string_view text) const {
  std::string result(text);
  for (const Pattern& pattern : ignored_) result = pattern.remove_all(result);
  if (comparison_.ignore_case) result = lower(result);
  if (comparison_.ignore_punctuation) result = without_ascii_punctuation(result);
  if (comparison_.ignore_numbers) result = without_ascii_digits(result);
  return result;
}

bool AnswerComparer::equal(std::string_view answer, std::string_view target) const {
  return reduced(answer) == reduced(target);
}

}  // namespace suture::evaluation
