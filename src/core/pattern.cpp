#include "core/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <algorithm>
#include <pcre2.h>

#include "suture/error.h"

namespace suture {
namespace {

// A completion is a thousand times as long as a name.
constexpr std::uint32_t kMaxNameEffort = 100'000;
constexpr std::uint32_t kMaxTextEffort = 10'000'000;

const unsigned char* as_units(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

struct Pattern::Compiled {
  pcre2_code* code = nullptr;
  ~Compiled() { pcre2_code_free(code); }
};

Pattern::Pattern(const std::string& text, PatternText kind) : text_(text), kind_(kind) {
  int error = 0;
  PCRE2_SIZE position = 0;
  auto compiled = std::make_shared<Compiled>();
  const std::uint32_t options =
      kind == PatternText::kUnicode ? PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C : 0;
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  compiled->code =
      pcre2_compile(as_units(text), text.size(), options, &error, &position, context.get());
  if (compiled->code == nullptr) {
    unsigned char message[256];
    pcre2_get_error_message(error, message, sizeof message);
    throw UsageError({{},
                      {},
                      "'" + printable(text) + "' is not a regular expression: " +
                          reinterpret_cast<const char*>(message) + " at character " +
                          std::to_string(position),
                      {},
                      {}});
  }
  compiled_ = std::move(compiled);
}

int Pattern::match(std::string_view subject, std::size_t from, unsigned options, void* data) const {
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  const bool text = kind_ == PatternText::kUnicode;
  pcre2_set_match_limit(context.get(), text ? kMaxTextEffort : kMaxNameEffort);
  const int result = pcre2_match(compiled_->code, as_units(subject), subject.size(), from, options,
                                 static_cast<pcre2_match_data*>(data), context.get());
  if (result >= 0 || result == PCRE2_ERROR_NOMATCH) return result;
  if (result <= PCRE2_ERROR_UTF8_ERR1 && result >= PCRE2_ERROR_UTF8_ERR21)
    throw UsageError({{}, {}, "a text to search is not UTF-8", {}, {}});
  throw UsageError({{},
                    text ? std::string() : std::string(subject),
                    "the regular expression '" + printable(text_) + "' takes too long on this " +
                        (text ? "text" : "name"),
                    {},
                    "write it without nested repetition"});
}

bool Pattern::found_in(std::string_view subject) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  return match(subject, 0, 0, data.get()) >= 0;
}

std::vector<PatternMatch> Pattern::find_all(std::string_view subject) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(compiled_->code, nullptr), &pcre2_match_data_free);
  const std::size_t* bounds = pcre2_get_ovector_pointer(data.get());
  const std::uint32_t pairs = pcre2_get_ovector_count(data.get());
  std::vector<PatternMatch> matches;
  std::size_t from = 0;
  unsigned options = 0;
  while (match(subject, from, options, data.get()) >= 0) {
    PatternMatch found;
    found.begin = bounds[0];
    // \K may place the beginning behind the end.
    found.end = std::max(bounds[0], bounds[1]);
    found.text = std::string(subject.substr(found.begin, found.end - found.begin));
    for (std::uint32_t group = 1; group < pairs; ++group) {
      const std::size_t begin = bounds[2 * group], end = bounds[2 * group + 1];
      found.groups.emplace_back(begin == PCRE2_UNSET ? "" : subject.substr(begin, end - begin));
    }
    // After an empty match the next one may begin at the same place, but must not be empty there.
    // The first search has seen that the whole text is UTF-8.
    options = PCRE2_NO_UTF_CHECK | (found.end == found.begin ? PCRE2_NOTEMPTY_ATSTART : 0);
    from = found.end;
    matches.push_back(std::move(found));
  }
  return matches;
}

std::string Pattern::remove_all(std::string_view subject) const {
  std::string kept;
  std::size_t from = 0;
  for (const PatternMatch& found : find_all(subject)) {
    kept += subject.substr(from, found.begin - from);
    from = found.end;
  }
  return kept + std::string(subject.substr(from));
}

}  // namespace suture
