#include "tokenizer/metaspace.h"

#include "tokenizer/tokenizer_json.h"
#include "tokenizer/utf8.h"

namespace suture {

Metaspace::Metaspace(const TokenizerPart& part) : replacement(part.text("replacement")) {
  std::size_t end = 0;
  if (!replacement.empty()) next_code_point(replacement, end);
  if (replacement.empty() || end != replacement.size())
    part.refuse("'replacement' of another length", "one character");
  const std::string scheme = part.text("prepend_scheme", "always");
  if (scheme == "first") {
    prepend = Prepend::kFirst;
  } else if (scheme == "never") {
    prepend = Prepend::kNever;
  } else if (scheme != "always") {
    part.refuse_unsupported("the prepend_scheme '" + scheme + "'");
  }
  if (!part.flag("add_prefix_space", true) && prepend != Prepend::kNever)
    part.refuse("'add_prefix_space' contradicts 'prepend_scheme'", "'never' where it is false",
                "save the tokenizer again with the tokenizers package");
  split = part.flag("split", true);
}

void Metaspace::append(std::string_view piece, bool at_start, std::string& text) const {
  const bool wanted = prepend == Prepend::kAlways || (prepend == Prepend::kFirst && at_start);
  const bool has_one = piece.front() == ' ' || piece.substr(0, replacement.size()) == replacement;
  if (wanted && !has_one) text += replacement;
  for (const char c : piece) {
    if (c == ' ') {
      text += replacement;
    } else {
      text += c;
    }
  }
}

}  // namespace suture
