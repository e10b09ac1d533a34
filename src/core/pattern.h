#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace suture {

/// What a pattern is matched against: bytes of a name, or UTF-8 text whose classes (`\d`, `\w`) and
/// cases are Unicode's.
enum class PatternText { kBytes, kUnicode };

/// One match: all of it, and its groups, empty where a group took no part.
struct PatternMatch {
  std::string text;
  std::vector<std::string> groups;
  std::size_t begin = 0, end = 0;  ///< Bytes of the subject.
};

/// A PCRE2 pattern whose effort is bounded: a hostile one such as `(a+)+$` ends in an error, not in
/// an afternoon. Immutable; safe to use from several threads.
class Pattern {
 public:
  /// Throws UsageError with the position when `text` is not a pattern.
  explicit Pattern(const std::string& text, PatternText kind = PatternText::kBytes);

  /// True when the pattern is found anywhere in `subject`. Throws UsageError past the effort limit.
  bool found_in(std::string_view subject) const;

  /// All matches from left to right that do not overlap, as Python's `re.findall` finds them: an
  /// empty match may follow one that is not. Throws as found_in does, and UsageError for a subject
  /// that is not UTF-8 where the pattern is for Unicode.
  std::vector<PatternMatch> find_all(std::string_view subject) const;

  /// The subject without any of these matches.
  std::string remove_all(std::string_view subject) const;

 private:
  struct Compiled;
  int match(std::string_view subject, std::size_t from, unsigned options, void* data) const;

  std::string text_;
  PatternText kind_ = PatternText::kBytes;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace suture
