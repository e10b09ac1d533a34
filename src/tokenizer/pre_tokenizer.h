#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tokenizer/split_pattern.h"

namespace suture {

class TokenizerPart;

/// A text and the pieces of it that become tokens one by one, in order. None is empty.
struct TextPieces {
  std::string text;
  std::vector<TextRange> ranges;
  bool at_start = false;  ///< The first piece begins where the whole input begins.
};

/// How a tokenizer cuts text into the pieces that byte-pair encoding works on. Immutable; safe to
/// use from several threads.
class PreTokenizer {
 public:
  /// Leaves text in one piece.
  PreTokenizer() = default;

  /// Split, ByteLevel, Digits, Metaspace, or a Sequence of these. Throws FormatError for another.
  explicit PreTokenizer(const TokenizerPart& part);

  TextPieces operator()(TextPieces pieces) const;

 private:
  void add(const TokenizerPart& part);
  void add_split(const TokenizerPart& part);
  void add_byte_level(const TokenizerPart& part);
  void add_metaspace(const TokenizerPart& part);

  std::vector<std::function<void(TextPieces&)>> steps_;
};

}  // namespace suture
