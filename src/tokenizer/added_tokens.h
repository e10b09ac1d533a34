#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/flat_table.h"
#include "tokenizer/split_pattern.h"
#include "tokenizer/vocabulary.h"

namespace suture {

class Normalizer;
class TokenizerPart;

/// A token that is found in text before all else.
struct AddedToken {
  std::string content;
  std::string shown;  ///< What it is decoded as: normalised, if it is looked for so.
  std::uint32_t id = 0;
  bool special = false, single_word = false, lstrip = false, rstrip = false, normalized = false;
};

/// A part of a text: an added token, or what stands between them.
struct AddedTokenPart {
  TextRange range;
  std::optional<std::uint32_t> id;
};

/// Finds texts, at each place the longest. Immutable once made.
class TextFinder {
 public:
  void add(std::string_view text, std::uint32_t value);

  struct Match {
    TextRange range;
    std::uint32_t value;
  };
  /// The first match at `from` or behind it.
  std::optional<Match> find(std::string_view text, std::size_t from) const;

 private:
  static constexpr std::uint32_t kNothing = UINT32_MAX;
  std::array<bool, 256> first_bytes_{};             // of any text
  FlatTable<std::uint32_t> children_;               // by pair_key of node and byte
  std::vector<std::uint32_t> values_ = {kNothing};  // by node: of the text that ends there
};

/// The `added_tokens` of a tokenizer. Immutable once made; safe to use from several threads.
class AddedTokens {
 public:
  AddedTokens() = default;

  /// Reads the list of `root`, giving ids as the tokenizers package does. Throws FormatError where
  /// the file's own ids are others.
  AddedTokens(const TokenizerPart& root, const Vocabulary& vocabulary,
              const Normalizer& normalizer);

  /// Cuts text, before or after normalisation, at the tokens that are looked for there. No part is
  /// empty.
  std::vector<AddedTokenPart> cut_raw(std::string_view text) const;
  std::vector<AddedTokenPart> cut_normalized(std::string_view text) const;

  /// The token with this id or content, or null.
  const AddedToken* find(std::int64_t id) const;
  const AddedToken* find(std::string_view content) const;

  bool is_special(const std::string& content) const;

  /// One more than the largest id.
  std::int64_t end() const { return end_; }

  /// Text that is equal for lists that give equal ids.
  std::string rules() const;

 private:
  void add(const AddedToken& token, const TokenizerPart& part, const Vocabulary& vocabulary);
  std::vector<AddedTokenPart> cut(std::string_view text, const TextFinder& finder) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::uint32_t, std::size_t> by_id_;
  std::unordered_map<std::string, std::size_t, TextHash, std::equal_to<>> by_content_;
  TextFinder raw_, normalized_;
  std::int64_t end_ = 0;
};

}  // namespace suture
