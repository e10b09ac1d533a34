#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace suture {

class TokenizerPart;

/// What a tokenizer does to text before it is cut. Immutable; safe to use from several threads.
class Normalizer {
 public:
  /// Leaves text as it is.
  Normalizer() = default;

  /// NFC, NFD, NFKC, NFKD, Prepend, Replace, or a Sequence of these. Throws FormatError for
  /// another.
  explicit Normalizer(const TokenizerPart& part);

  /// `text`, which must be UTF-8, normalised.
  std::string operator()(std::string_view text) const;

  bool changes_nothing() const { return steps_.empty(); }

 private:
  void add(const TokenizerPart& part);

  std::vector<std::function<std::string(std::string)>> steps_;
};

}  // namespace suture
