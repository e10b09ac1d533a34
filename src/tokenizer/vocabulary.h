#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "format/json.h"

namespace suture {

class TokenizerPart;

/// Lets a map of strings be asked for a view.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};

/// Token texts and their ids, both ways.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  /// Adds the members of an object of texts and ids. Throws FormatError about `part`.
  void read(const format::Json& object, const TokenizerPart& part);

  /// Adds a token. Throws FormatError about `part` for an id that another token has.
  void add(const std::string& token, std::uint32_t id, const TokenizerPart& part);

  std::optional<std::uint32_t> id_of(std::string_view token) const;

  /// The text of `id`, or null. It stays valid as long as the vocabulary.
  const std::string* token_of(std::int64_t id) const;

  std::size_t size() const { return ids_.size(); }

  /// One more than the largest id.
  std::int64_t end() const { return end_; }

 private:
  std::unordered_map<std::string, std::uint32_t, TextHash, std::equal_to<>> ids_;
  std::unordered_map<std::uint32_t, const std::string*> tokens_;  // to keys of ids_, which stay put
  std::int64_t end_ = 0;
};

/// The id that a file gives `token`. Throws FormatError about `part` unless it is a whole number
/// below 2^31.
std::uint32_t read_token_id(const std::string& token, const format::Json& id,
                            const TokenizerPart& part);

}  // namespace suture
