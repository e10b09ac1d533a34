#pragma once

#include <string>
#include <string_view>

namespace suture {

class TokenizerPart;

/// SentencePiece's way with spaces: a visible character for each, and one in front of the text.
struct Metaspace {
  enum class Prepend { kFirst, kAlways, kNever };

  /// Reads the component, as pre-tokenizer or decoder. Throws FormatError.
  explicit Metaspace(const TokenizerPart& part);

  /// Appends `piece` with spaces replaced, and with one in front where the scheme wants it.
  void append(std::string_view piece, bool at_start, std::string& text) const;

  std::string replacement;  ///< One character, mostly U+2581.
  Prepend prepend = Prepend::kAlways;
  bool split = true;
};

}  // namespace suture
