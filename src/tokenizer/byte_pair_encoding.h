#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/flat_table.h"
#include "tokenizer/vocabulary.h"

namespace suture {

class TokenizerPart;

/// Byte-pair encoding: a piece of text starts as its characters, and neighbours are merged in the
/// order of the list of merges. Immutable once made; safe to use from several threads.
class BytePairEncoding {
 public:
  /// Reads the `model` of a `tokenizer.json`. Throws FormatError.
  explicit BytePairEncoding(const TokenizerPart& model);

  /// Appends the ids of `piece`, which must be UTF-8.
  void encode(std::string_view piece, std::vector<std::int64_t>& ids) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }

  /// Text that is equal for models that give equal ids, apart from the vocabulary.
  const std::string& rules() const { return rules_; }

 private:
  struct Merge {
    std::uint32_t rank, id;
  };
  struct Symbol;
  struct Candidate;

  void read_merges(const TokenizerPart& model);
  void read_fallbacks(const TokenizerPart& model);
  std::optional<std::uint32_t> character_id(std::string_view character) const;
  void append_characters(std::string_view piece, std::vector<std::uint32_t>& ids) const;
  bool append_bytes(std::string_view character, std::vector<std::uint32_t>& ids) const;
  void merge_short(std::vector<std::uint32_t>& ids) const;
  void merge_long(std::vector<std::uint32_t>& ids) const;

  Vocabulary vocabulary_;
  FlatTable<Merge> merges_;  // by pair_key of two ids
  bool ignore_merges_ = false, byte_fallback_ = false, fuse_unknown_ = false;
  std::optional<std::uint32_t> unknown_;
  std::array<std::int64_t, 0x180> low_characters_{};  // ids of the first code points, or -1
  std::array<std::int64_t, 256> bytes_{};             // ids of <0x00> to <0xFF>, or -1
  std::string rules_;
};

}  // namespace suture
