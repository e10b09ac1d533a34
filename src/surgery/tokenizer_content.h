#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "format/digest.h"

namespace suture {

/// What a tokenizer does to text, apart from how its files are written.
struct TokenizerContent {
  std::map<std::string, std::int64_t> ids;  ///< Token text to row of the embedding; empty for a
                                            ///< `tokenizer.model` alone, which is only compared.
  std::string file;                         ///< The file it was read from.
  format::Digest tokens;                    ///< Of the ids.
  format::Digest rules;                     ///< Of merges, normaliser, pre-tokeniser and decoder.

  /// One digest of both.
  format::Digest digest() const;
};

/// Reads a folder's tokenizer: `tokenizer.json`, else `vocab.json` with `merges.txt`, else
/// `tokenizer.model`. Nothing when there is none. Throws FormatError for a broken one.
std::optional<TokenizerContent> read_tokenizer_content(const std::filesystem::path& folder);

/// Reads the tokenizers of several folders, parsing equal files once: relatives mostly share
/// theirs.
class TokenizerReader {
 public:
  std::shared_ptr<const TokenizerContent> read(const std::filesystem::path& folder);

 private:
  std::map<std::string, std::shared_ptr<const TokenizerContent>> by_digest_;  // of tokenizer.json
};

}  // namespace suture
