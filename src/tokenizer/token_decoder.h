#pragma once

#include <functional>
#include <string>
#include <vector>

namespace suture {

class TokenizerPart;

/// How a tokenizer makes text of tokens. Immutable; safe to use from several threads.
class TokenDecoder {
 public:
  /// Puts a space between tokens, as the tokenizers package does without a decoder.
  TokenDecoder() = default;

  /// ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip, or a Sequence of these. Throws
  /// FormatError for another.
  explicit TokenDecoder(const TokenizerPart& part);

  /// The text of `tokens`. Bytes that form no UTF-8 come out as U+FFFD.
  std::string operator()(std::vector<std::string> tokens) const;

 private:
  using Step = std::function<void(std::vector<std::string>&)>;
  void add(const TokenizerPart& part);

  std::string separator_ = " ";
  std::vector<Step> steps_;
};

}  // namespace suture
