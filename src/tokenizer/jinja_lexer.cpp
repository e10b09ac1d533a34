#include <algorithm>
#include <array>
#include <cstddef>

#include "tokenizer/jinja_syntax.h"
#include "tokenizer/python_strip.h"
#include "tokenizer/utf8.h"

namespace suture::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Enough of a tag for an error: each name of a template keeps one.
std::string_view shortened(std::string_view tag) {
  constexpr std::size_t kMaxBytes = 120;
  return tag.size() <= kMaxBytes ? tag : tag.substr(0, previous_code_point(tag, kMaxBytes + 1));
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      text_and_beginning();
    }
    push(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  void push(Token::Kind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), line_});
  }

  [[noreturn]] void refuse(const std::string& what) const {
    throw Refusal(told(what, tag_, line_));
  }

  // Moves to `to`, counting lines.
  void move_to(std::size_t to) {
    line_ += static_cast<std::size_t>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                                 source_.begin() + static_cast<std::ptrdiff_t>(to),
                                                 '\n'));
    at_ = to;
  }

  std::size_t next_tag() const {
    for (std::size_t i = source_.find('{', at_); i != std::string_view::npos;
         i = source_.find('{', i + 1)) {
      const char kind = i + 1 < source_.size() ? source_[i + 1] : ' ';
      if (kind == '{' || kind == '%' || kind == '#') return i;
    }
    return std::string_view::npos;
  }

  void text_and_beginning() {
    const std::size_t begin = next_tag();
    if (begin == std::string_view::npos) {
      push(Token::Kind::kText, std::string(source_.substr(at_)));
      move_to(source_.size());
      return;
    }
    std::string_view text = source_.substr(at_, begin - at_);
    const char kind = source_[begin + 1];
    const char sign = begin + 2 < source_.size() ? source_[begin + 2] : ' ';
    const bool has_sign = sign == '-' || sign == '+';
    if (sign == '-') {
      text = right_stripped(text);
    } else if (sign != '+' && kind != '{') {
      text = without_indent(text);
    }
    if (!text.empty()) push(Token::Kind::kText, std::string(text));
    move_to(begin);
    const std::size_t inside = begin + 2 + (has_sign ? 1U : 0U);
    if (kind == '#') {
      comment(inside);
    } else {
      tag(kind, inside);
    }
  }

  // lstrip_blocks: white space between the start of a line and a tag.
  std::string_view without_indent(std::string_view text) const {
    const std::size_t newline = text.rfind('\n');
    const std::size_t from = newline == std::string_view::npos ? 0 : newline + 1;
    if (from == 0 && !at_line_start_) return text;
    return stripped(text.substr(from)).empty() ? text.substr(0, from) : text;
  }

  void comment(std::size_t inside) {
    tag_ = "{#";
    const std::size_t end = source_.find("#}", inside);
    if (end == std::string_view::npos) refuse("a comment without end");
    // The sign of `{#-#}` belongs to the beginning.
    finish(end, end > inside ? source_[end - 1] : ' ', true);
  }

  // Behind a tag's end at `end`.
  void finish(std::size_t end, char sign, bool trims_newline) {
    std::size_t behind = end + 2;
    if (sign == '-') {
      behind = source_.size() - left_stripped(source_.substr(behind)).size();
    } else if (trims_newline && sign != '+' && behind < source_.size() && source_[behind] == '\n') {
      ++behind;
    }
    move_to(behind);
    at_line_start_ = source_[behind - 1] == '\n';
  }

  void tag(char kind, std::size_t inside) {
    const std::string_view close = kind == '%' ? "%}" : "}}";
    const std::size_t end = std::min(source_.find(close, inside), source_.size());
    tag_ = shortened(source_.substr(at_, end - at_ + 2));
    push(kind == '%' ? Token::Kind::kStatementBegin : Token::Kind::kPrintBegin, std::string(tag_));
    move_to(inside);
    for (;;) {
      move_to(source_.size() - left_stripped(source_.substr(at_)).size());
      if (at_ >= source_.size()) refuse("a tag without end");
      const char c = source_[at_];
      const bool has_sign = c == '-' || (c == '+' && kind == '%');
      if (source_.substr(at_ + (has_sign ? 1U : 0U), 2) == close) {
        push(Token::Kind::kTagEnd, "");
        finish(at_ + (has_sign ? 1U : 0U), has_sign ? c : ' ', kind == '%');
        return;
      }
      token(c);
    }
  }

  void token(char c) {
    if (c == '\'' || c == '"') {
      string(c);
    } else if (is_word(c)) {
      std::size_t end = at_;
      while (end < source_.size() && is_word(source_[end])) ++end;
      std::string text(source_.substr(at_, end - at_));
      if (!is_digit(c)) {
        push(Token::Kind::kName, std::move(text));
      } else {
        integer(text, end);
      }
      move_to(end);
    } else {
      operator_at(c);
    }
  }

  void integer(const std::string& text, std::size_t end) {
    const bool is_float =
        end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1]);
    if (text.size() > 9 || (text.size() > 1 && text[0] == '0') ||
        !std::all_of(text.begin(), text.end(), is_digit) || is_float)
      refuse("the number " + text);
    push(Token::Kind::kInteger, text);
  }

  void operator_at(char c) {
    static constexpr std::array<std::string_view, 4> kLong{"==", "!=", "<=", ">="};
    const std::string_view two = source_.substr(at_, 2);
    if (std::find(kLong.begin(), kLong.end(), two) != kLong.end()) {
      push(Token::Kind::kOperator, std::string(two));
      move_to(at_ + 2);
      return;
    }
    if (std::string_view("+-%~<>=()[].,:|").find(c) == std::string_view::npos || two == "**") {
      const std::size_t bytes = source_.size() - at_;
      std::size_t next = at_;
      next_code_point(source_, next);
      refuse("the character '" + std::string(source_.substr(at_, std::min(next - at_, bytes))) +
             "'");
    }
    push(Token::Kind::kOperator, std::string(1, c));
    move_to(at_ + 1);
  }

  void string(char quote) {
    std::string text;
    std::size_t i = at_ + 1;
    for (; i < source_.size() && source_[i] != quote; ++i) {
      if (source_[i] != '\\') {
        text += source_[i];
        continue;
      }
      if (++i >= source_.size()) break;
      static constexpr std::string_view kLetters = "ntr\\'\"", kMeant = "\n\t\r\\'\"";
      const std::size_t which = kLetters.find(source_[i]);
      // Python has more, and keeps the backslash of unknown ones with a warning.
      if (which == std::string_view::npos)
        refuse("the escape '\\" + std::string(1, source_[i]) + "' in a text");
      text += kMeant[which];
    }
    if (i >= source_.size()) refuse("a text without end");
    push(Token::Kind::kString, std::move(text));
    move_to(i + 1);
  }

  std::string_view source_;
  std::string_view tag_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;

  static std::string told(const std::string& what, std::string_view tag, std::size_t line) {
    return jinja::told(what, std::string(tag), line);
  }
};

}  // namespace

std::string normalised_source(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::vector<Token> tokens_of(std::string_view source) { return Lexer(source).run(); }

std::string told(const std::string& what, const std::string& tag, std::size_t line) {
  return what + " in line " + std::to_string(line) + (tag.empty() ? "" : ", " + tag);
}

}  // namespace suture::jinja
