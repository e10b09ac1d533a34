#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace suture {

/// A PCRE2 pattern whose effort is bounded: a hostile one such as `(a+)+$` ends in an error, not in
/// an afternoon. Immutable; safe to use from several threads.
class Pattern {
 public:
  /// Throws UsageError with the position when `text` is not a pattern.
  explicit Pattern(const std::string& text);

  /// True when the pattern is found anywhere in `subject`. Throws UsageError past the effort limit.
  bool found_in(std::string_view subject) const;

 private:
  struct Compiled;
  std::string text_;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace suture
