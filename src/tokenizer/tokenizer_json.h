#pragma once

#include <string>
#include <vector>

#include "format/json.h"

namespace suture {

/// One object of a `tokenizer.json`, with its place for errors: `FILE: pre_tokenizer: FOUND`.
/// References what it is made of.
class TokenizerPart {
 public:
  TokenizerPart(const format::Json& json, const std::string& file, std::string place);

  const format::Json& json() const { return json_; }
  const std::string& file() const { return file_; }

  /// Null or absent.
  bool lacks(const char* key) const;

  /// A part of this one. Throws FormatError when it is not an object.
  TokenizerPart part(const char* key) const;

  /// Member `key` as a list of parts. Throws FormatError when it is none.
  std::vector<TokenizerPart> parts(const char* key) const;

  /// Member `key`. The ones with a default take absent and null as the default; all throw
  /// FormatError for another type.
  std::string text(const char* key) const;
  std::string text(const char* key, const std::string& by_default) const;
  bool flag(const char* key, bool by_default) const;

  /// The `type` member.
  std::string type() const { return text("type"); }

  /// Throws FormatError about this part.
  [[noreturn]] void refuse(const std::string& found, const std::string& expected = {},
                           const std::string& remedy = {}) const;

  /// Throws FormatError for a component that is not implemented.
  [[noreturn]] void refuse_unsupported(const std::string& what) const;

 private:
  const format::Json& json_;
  const std::string& file_;
  std::string place_;
};

}  // namespace suture
