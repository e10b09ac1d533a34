#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <utf8proc.h>

#include "suture/error.h"

#include "tokenizer/normalizer.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/utf8.h"

namespace suture {
namespace {

// White_Space of Unicode.
bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// What \w is in Rust's patterns: letters with the alphabetic symbols, marks, digits, connectors,
// joiners.
bool is_word(char32_t c) {
  if (c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
      (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
      (c >= 0x1F170 && c <= 0x1F189)) {
    return true;
  }
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
         category == UTF8PROC_CATEGORY_PC;
}

bool ends_in_word(std::string_view text) {
  if (text.empty()) return false;
  std::size_t last = previous_code_point(text, text.size());
  return is_word(next_code_point(text, last));
}

bool starts_with_word(std::string_view text) {
  std::size_t at = 0;
  return !text.empty() && is_word(next_code_point(text, at));
}

std::size_t without_space_before(std::string_view text, std::size_t end) {
  while (end > 0) {
    const std::size_t last = previous_code_point(text, end);
    std::size_t at = last;
    if (!is_space(next_code_point(text, at))) break;
    end = last;
  }
  return end;
}

std::size_t without_space_behind(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    std::size_t next = begin;
    if (!is_space(next_code_point(text, next))) break;
    begin = next;
  }
  return begin;
}

AddedToken read_token(const TokenizerPart& part) {
  AddedToken token;
  token.content = part.text("content");
  if (part.lacks("id")) part.refuse("no 'id'", "a whole number");
  token.id = read_token_id(token.content, part.json().at("id"), part);
  token.special = part.flag("special", false);
  token.single_word = part.flag("single_word", false);
  token.lstrip = part.flag("lstrip", false);
  token.rstrip = part.flag("rstrip", false);
  token.normalized = part.flag("normalized", !token.special);
  return token;
}

}  // namespace

void TextFinder::add(std::string_view text, std::uint32_t value) {
  std::uint32_t node = 0;
  first_bytes_[static_cast<unsigned char>(text.front())] = true;
  for (const char c : text) {
    const std::uint64_t key = pair_key(node, static_cast<unsigned char>(c));
    if (const std::uint32_t* child = children_.find(key)) {
      node = *child;
    } else {
      node = static_cast<std::uint32_t>(values_.size());
      children_.set(key, node);
      values_.push_back(kNothing);
    }
  }
  values_[node] = value;
}

std::optional<TextFinder::Match> TextFinder::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!first_bytes_[static_cast<unsigned char>(text[begin])]) continue;
    std::optional<Match> longest;
    std::uint32_t node = 0;
    for (std::size_t at = begin; at < text.size(); ++at) {
      const std::uint32_t* child =
          children_.find(pair_key(node, static_cast<unsigned char>(text[at])));
      if (child == nullptr) break;
      node = *child;
      if (values_[node] != kNothing) longest = Match{{begin, at + 1}, values_[node]};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

AddedTokens::AddedTokens(const TokenizerPart& root, const Vocabulary& vocabulary,
                         const Normalizer& normalizer) {
  if (root.lacks("added_tokens")) return;
  for (const TokenizerPart& part : root.parts("added_tokens")) {
    add(read_token(part), part, vocabulary);
  }
  for (std::size_t index = 0; index < tokens_.size(); ++index) {
    AddedToken& token = tokens_[index];
    token.shown = token.normalized ? normalizer(token.content) : token.content;
    const auto value = static_cast<std::uint32_t>(index);
    if (token.normalized) {
      // One that normalises to nothing is found nowhere.
      if (!token.shown.empty()) normalized_.add(token.shown, value);
    } else {
      raw_.add(token.content, value);
    }
  }
}

// The package goes by the vocabulary, then counts on; a file that says otherwise is broken.
void AddedTokens::add(const AddedToken& token, const TokenizerPart& part,
                      const Vocabulary& vocabulary) {
  if (token.content.empty()) part.refuse("a token without text");
  if (by_content_.count(token.content) != 0) {
    part.refuse("token '" + printable(token.content) + "' twice", "each once");
  }
  const auto known = vocabulary.id_of(token.content);
  const std::int64_t expected =
      known ? std::int64_t{*known}
            : std::max<std::int64_t>(end_, static_cast<std::int64_t>(vocabulary.size()));
  if (token.id != expected) {
    part.refuse("token '" + printable(token.content) + "' has the id " + std::to_string(token.id),
                std::to_string(expected) + ", which the tokenizers package gives it",
                "save the tokenizer again with that package");
  }
  by_id_.emplace(token.id, tokens_.size());
  by_content_.emplace(token.content, tokens_.size());
  tokens_.push_back(token);
  end_ = std::max(end_, std::int64_t{token.id} + 1);
}

std::vector<AddedTokenPart> AddedTokens::cut(std::string_view text,
                                             const TextFinder& finder) const {
  std::vector<AddedTokenPart> parts;
  std::size_t done = 0;
  for (std::size_t from = 0; const auto match = finder.find(text, from);) {
    const AddedToken& token = tokens_[match->value];
    std::size_t begin = match->range.begin, end = match->range.end;
    from = end;
    if (token.single_word &&
        (ends_in_word(text.substr(0, begin)) || starts_with_word(text.substr(end))))
      continue;
    if (token.lstrip) begin = std::max(without_space_before(text, begin), done);
    if (token.rstrip) end = without_space_behind(text, end);
    if (done < begin) parts.push_back({{done, begin}, std::nullopt});
    parts.push_back({{begin, end}, token.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({{done, text.size()}, std::nullopt});
  return parts;
}

std::vector<AddedTokenPart> AddedTokens::cut_raw(std::string_view text) const {
  return cut(text, raw_);
}

std::vector<AddedTokenPart> AddedTokens::cut_normalized(std::string_view text) const {
  return cut(text, normalized_);
}

const AddedToken* AddedTokens::find(std::int64_t id) const {
  if (id < 0 || id >= end_) return nullptr;
  const auto found = by_id_.find(static_cast<std::uint32_t>(id));
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = by_content_.find(content);
  return found == by_content_.end() ? nullptr : &tokens_[found->second];
}

bool AddedTokens::is_special(const std::string& content) const {
  const AddedToken* token = find(std::string_view(content));
  return token != nullptr && token->special;
}

std::string AddedTokens::rules() const {
  std::string text;
  for (const AddedToken& token : tokens_) {
    text +=
        std::to_string(token.id) + " " + std::to_string(token.content.size()) + ":" + token.content;
    for (const bool flag :
         {token.special, token.single_word, token.lstrip, token.rstrip, token.normalized})
      text += flag ? '1' : '0';
    text += '\n';
  }
  return text;
}

}  // namespace suture
