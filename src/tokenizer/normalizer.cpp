#include "tokenizer/normalizer.h"

#include <algorithm>
#include <new>
#include <utf8proc.h>
#include <utility>

#include "tokenizer/split_pattern.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/utf8.h"

namespace suture {
namespace {

constexpr int kNfd = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
constexpr int kNfc = UTF8PROC_STABLE | UTF8PROC_COMPOSE;

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// One of the four normalisation forms, all of which keep ASCII.
std::string to_form(std::string text, int options) {
  if (is_ascii(text)) return text;
  const auto* const bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto size = static_cast<utf8proc_ssize_t>(text.size());
  const auto flags = static_cast<utf8proc_option_t>(options);
  const utf8proc_ssize_t capacity = utf8proc_decompose(bytes, size, nullptr, 0, flags);
  if (capacity < 0) throw std::bad_alloc();  // only its size can be wrong with UTF-8
  std::vector<utf8proc_int32_t> codes(static_cast<std::size_t>(capacity));
  utf8proc_ssize_t count = utf8proc_decompose(bytes, size, codes.data(), capacity, flags);
  count = utf8proc_normalize_utf32(codes.data(), count, flags);
  std::string result;
  result.reserve(text.size());
  for (utf8proc_ssize_t at = 0; at < count; ++at) {
    append_utf8(static_cast<char32_t>(codes[static_cast<std::size_t>(at)]), result);
  }
  return result;
}

}  // namespace

Normalizer::Normalizer(const TokenizerPart& part) { add(part); }

void Normalizer::add(const TokenizerPart& part) {
  const std::string type = part.type();
  const auto form = [this](int options) {
    steps_.emplace_back([options](std::string text) { return to_form(std::move(text), options); });
  };
  if (type == "Sequence") {
    for (const TokenizerPart& step : part.parts("normalizers")) add(step);
  } else if (type == "NFC") {
    form(kNfc);
  } else if (type == "NFD") {
    form(kNfd);
  } else if (type == "NFKC") {
    form(kNfc | UTF8PROC_COMPAT);
  } else if (type == "NFKD") {
    form(kNfd | UTF8PROC_COMPAT);
  } else if (type == "Prepend") {
    steps_.emplace_back([prefix = part.text("prepend")](std::string text) {
      return text.empty() ? text : prefix + text;
    });
  } else if (type == "Replace") {
    steps_.emplace_back([pattern = SplitPattern::of_part(part),
                         content = part.text("content")](const std::string& text) {
      return pattern.replace_all(text, content);
    });
  } else {
    part.refuse_unsupported("normalizer " + type);
  }
}

std::string Normalizer::operator()(std::string_view text) const {
  std::string result(text);
  for (const auto& step : steps_) result = step(std::move(result));
  return result;
}

}  // namespace suture
