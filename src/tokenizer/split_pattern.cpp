#include "tokenizer/split_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "suture/error.h"

#include "tokenizer/oniguruma.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/utf8.h"

namespace suture {
namespace {

constexpr std::uint32_t kMaxMatchEffort = 10'000'000;
constexpr std::size_t kMaxPatternBytes = 1 << 16;

const unsigned char* as_units(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string message_of(int error) {
  unsigned char message[256];
  pcre2_get_error_message(error, message, sizeof message);
  return reinterpret_cast<const char*>(message);
}

}  // namespace

struct SplitPattern::Compiled {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  std::string text;
  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

SplitPattern SplitPattern::regex(const std::string& pattern, const TokenizerPart& part) {
  if (pattern.size() > kMaxPatternBytes) {
    part.refuse("a pattern of " + std::to_string(pattern.size()) + " bytes", "at most 65,536");
  }
  const std::string translated = to_pcre2(pattern, part);
  int error = 0;
  PCRE2_SIZE position = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->text = pattern;
  compiled->code = pcre2_compile(as_units(translated), translated.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                 &error, &position, nullptr);
  if (compiled->code == nullptr) {
    part.refuse("'" + printable(pattern) + "' is not a regular expression: " + message_of(error));
  }
  // Where there is no JIT, the interpreter gives the same matches.
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);
  compiled->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(compiled->context, kMaxMatchEffort);
  SplitPattern result;
  result.compiled_ = std::move(compiled);
  return result;
}

SplitPattern SplitPattern::literal(const std::string& text) {
  SplitPattern result;
  result.literal_ = text;
  return result;
}

SplitPattern SplitPattern::of_part(const TokenizerPart& part) {
  const TokenizerPart pattern = part.part("pattern");
  if (!pattern.lacks("Regex")) return regex(pattern.text("Regex"), part);
  const std::string text = pattern.text("String");
  if (text.empty()) part.refuse("an empty pattern");
  return literal(text);
}

void SplitPattern::find_all(std::string_view text, std::vector<TextRange>& matches) const {
  if (!compiled_) {
    for (std::size_t at = text.find(literal_); at != std::string_view::npos;
         at = text.find(literal_, at + literal_.size())) {
      matches.push_back({at, at + literal_.size()});
    }
    return;
  }
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  const PCRE2_SIZE* const span = pcre2_get_ovector_pointer(data.get());
  bool any = false;
  for (std::size_t from = 0; from <= text.size();) {
    int result = pcre2_match(compiled_->code, as_units(text), text.size(), from, PCRE2_NO_UTF_CHECK,
                             data.get(), compiled_->context);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) {  // the interpreter keeps its stack on the heap
      result = pcre2_match(compiled_->code, as_units(text), text.size(), from,
                           PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), compiled_->context);
    }
    if (result == PCRE2_ERROR_NOMATCH) return;
    if (result < 0) {
      throw UsageError({{},
                        {},
                        "the tokenizer's pattern '" + printable(compiled_->text) +
                            "' takes too long on this text (" + message_of(result) + ")",
                        {},
                        "split the text"});
    }
    const TextRange match{span[0], span[1]};
    if (match.begin == match.end && any && matches.back().end == match.end) {
      if (from >= text.size()) return;
      next_code_point(text, from);
      continue;
    }
    matches.push_back(match);
    any = true;
    from = match.end;
  }
}

std::string SplitPattern::replace_all(const std::string& text, const std::string& content) const {
  std::vector<TextRange> matches;
  find_all(text, matches);
  if (matches.empty()) return text;
  std::string result;
  std::size_t done = 0;
  for (const TextRange& match : matches) {
    result.append(text, done, match.begin - done);
    result += content;
    done = match.end;
  }
  return result.append(text, done);
}

}  // namespace suture
