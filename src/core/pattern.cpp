#include "core/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "suture/error.h"

namespace suture {
namespace {

constexpr std::uint32_t kMaxMatchEffort = 100'000;

const unsigned char* as_units(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

struct Pattern::Compiled {
  pcre2_code* code = nullptr;
  ~Compiled() { pcre2_code_free(code); }
};

Pattern::Pattern(const std::string& text) : text_(text) {
  int error = 0;
  PCRE2_SIZE position = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->code = pcre2_compile(as_units(text), text.size(), 0, &error, &position, nullptr);
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

bool Pattern::found_in(std::string_view subject) const {
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kMaxMatchEffort);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  const int result = pcre2_match(compiled_->code, as_units(subject), subject.size(), 0, 0,
                                 data.get(), context.get());
  if (result >= 0) return true;
  if (result == PCRE2_ERROR_NOMATCH) return false;
  throw UsageError({{},
                    std::string(subject),
                    "the regular expression '" + printable(text_) + "' takes too long on this name",
                    {},
                    "write it without nested repetition"});
}

}  // namespace suture
