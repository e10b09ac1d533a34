#pragma once

#include <string>

namespace suture {

class TokenizerPart;

/// The PCRE2 form (UTF, UCP, multi-line) of a pattern in Oniguruma's Ruby syntax, which
/// `tokenizers` uses: `\s` without U+180E, letters and digits of Unicode 16, `\v` as one character.
/// What would mean something else in PCRE2 is refused as FormatError about `part`.
std::string to_pcre2(const std::string& pattern, const TokenizerPart& part);

}  // namespace suture
