#pragma once

#include <cstdint>
#include <vector>

namespace suture {

class TokenizerPart;

/// The special tokens that a tokenizer puts around a text when asked to.
struct PostProcessor {
  PostProcessor() = default;

  /// ByteLevel (which changes no id), TemplateProcessing, or a Sequence of these. Throws
  /// FormatError for another.
  explicit PostProcessor(const TokenizerPart& part);

  std::vector<std::int64_t> before, after;

 private:
  void add(const TokenizerPart& part);
};

}  // namespace suture
