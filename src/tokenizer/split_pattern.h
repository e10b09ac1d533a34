#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace suture {

class TokenizerPart;

/// A part of a text, in bytes.
struct TextRange {
  std::size_t begin = 0, end = 0;
};

/// What a tokenizer splits or replaces by. Immutable; safe to use from several threads.
class SplitPattern {
 public:
  /// A pattern in Oniguruma's syntax. Throws FormatError about `part` when it cannot be used.
  static SplitPattern regex(const std::string& pattern, const TokenizerPart& part);

  /// The text itself, which is not empty.
  static SplitPattern literal(const std::string& text);

  /// The `pattern` member of `part`: `{"Regex": ...}` or `{"String": ...}`.
  static SplitPattern of_part(const TokenizerPart& part);

  /// Appends the matches in `text`, which must be UTF-8, in order. An empty match right behind
  /// another match does not count. Throws UsageError when the pattern takes too long.
  void find_all(std::string_view text, std::vector<TextRange>& matches) const;

  /// `text` with `content` for each match that `find_all` finds.
  std::string replace_all(const std::string& text, const std::string& content) const;

 private:
  struct Compiled;
  std::string literal_;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace suture
