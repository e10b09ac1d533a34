#include "tokenizer/oniguruma.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <utility>

#include "tokenizer/tokenizer_json.h"

namespace suture {
namespace {

// White_Space of Unicode, and the rest. PCRE2's own \s has U+180E too.
constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNoSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";

// Characters that came with Unicode 15 and 16: PCRE2 before 10.45 does not know all of them.
struct Category {
  std::string_view name, newer;
};
constexpr std::array kCategories{
    Category{
        "L",
        R"(\x{1c89}-\x{1c8a}\x{a7cb}-\x{a7cd}\x{a7da}-\x{a7dc}\x{105c0}-\x{105f3}\x{10d4a}-\x{10d65})"
        R"(\x{10d6f}-\x{10d85}\x{10ec2}-\x{10ec4}\x{1123f}-\x{11240}\x{11380}-\x{11389}\x{1138b}\x{1138e})"
        R"(\x{11390}-\x{113b5}\x{113b7}\x{113d1}\x{113d3}\x{11bc0}-\x{11be0}\x{11f02}\x{11f04}-\x{11f10})"
        R"(\x{11f12}-\x{11f33}\x{1342f}\x{13441}-\x{13446}\x{13460}-\x{143fa}\x{16100}-\x{1611d})"
        R"(\x{16d40}-\x{16d6c}\x{18cff}\x{1b132}\x{1b155}\x{1df25}-\x{1df2a}\x{1e030}-\x{1e06d})"
        R"(\x{1e4d0}-\x{1e4eb}\x{1e5d0}-\x{1e5ed}\x{1e5f0}\x{2b739}\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})"},
    Category{
        "N",
        R"(\x{10d40}-\x{10d49}\x{116d0}-\x{116e3}\x{11bf0}-\x{11bf9}\x{11f50}-\x{11f59}\x{16130}-\x{16139})"
        R"(\x{16d70}-\x{16d79}\x{1ccf0}-\x{1ccf9}\x{1d2c0}-\x{1d2d3}\x{1e4f0}-\x{1e4f9}\x{1e5f1}-\x{1e5fa})"},
    Category{
        "Nd",
        R"(\x{10d40}-\x{10d49}\x{116d0}-\x{116e3}\x{11bf0}-\x{11bf9}\x{11f50}-\x{11f59}\x{16130}-\x{16139})"
        R"(\x{16d70}-\x{16d79}\x{1ccf0}-\x{1ccf9}\x{1e4f0}-\x{1e4f9}\x{1e5f1}-\x{1e5fa})"},
    Category{
        "M",
        R"(\x{897}\x{cf3}\x{ece}\x{10d69}-\x{10d6d}\x{10efc}-\x{10eff}\x{11241}\x{113b8}-\x{113c0}\x{113c2})"
        R"(\x{113c5}\x{113c7}-\x{113ca}\x{113cc}-\x{113d0}\x{113d2}\x{113e1}-\x{113e2}\x{11f00}-\x{11f01})"
        R"(\x{11f03}\x{11f34}-\x{11f3a}\x{11f3e}-\x{11f42}\x{11f5a}\x{13440}\x{13447}-\x{13455})"
        R"(\x{1611e}-\x{1612f}\x{1e08f}\x{1e4ec}-\x{1e4ef}\x{1e5ee}-\x{1e5ef})"},
    Category{
        "P",
        R"(\x{1b4e}-\x{1b4f}\x{1b7f}\x{10d6e}\x{113d4}-\x{113d5}\x{113d7}-\x{113d8}\x{11b00}-\x{11b09})"
        R"(\x{11be1}\x{11f43}-\x{11f4f}\x{16d6d}-\x{16d6f}\x{1e5ff})"},
    Category{
        "S",
        R"(\x{2427}-\x{2429}\x{2ffc}-\x{2fff}\x{31e4}-\x{31e5}\x{31ef}\x{10d8e}-\x{10d8f}\x{1cc00}-\x{1ccef})"
        R"(\x{1cd00}-\x{1ceb3}\x{1f6dc}\x{1f774}-\x{1f776}\x{1f77b}-\x{1f77f}\x{1f7d9}\x{1f8b2}-\x{1f8bb})"
        R"(\x{1f8c0}-\x{1f8c1}\x{1fa75}-\x{1fa77}\x{1fa87}-\x{1fa89}\x{1fa8f}\x{1faad}-\x{1faaf})"
        R"(\x{1fabb}-\x{1fabf}\x{1fac6}\x{1face}-\x{1facf}\x{1fada}-\x{1fadc}\x{1fadf}\x{1fae8}-\x{1fae9})"
        R"(\x{1faf7}-\x{1faf8}\x{1fbcb}-\x{1fbef})"},
    Category{"Lu", R"(\x{1c89}\x{a7cb}-\x{a7cc}\x{a7da}\x{a7dc}\x{10d50}-\x{10d65})"},
    Category{"Ll", R"(\x{1c8a}\x{a7cd}\x{a7db}\x{10d70}-\x{10d85}\x{1df25}-\x{1df2a})"},
    Category{"Lt", ""},
    Category{
        "Lm",
        R"(\x{10d4e}\x{10d6f}\x{16d40}-\x{16d42}\x{16d6b}-\x{16d6c}\x{1e030}-\x{1e06d}\x{1e4eb})"},
    Category{
        "Lo",
        R"(\x{105c0}-\x{105f3}\x{10d4a}-\x{10d4d}\x{10d4f}\x{10ec2}-\x{10ec4}\x{1123f}-\x{11240})"
        R"(\x{11380}-\x{11389}\x{1138b}\x{1138e}\x{11390}-\x{113b5}\x{113b7}\x{113d1}\x{113d3})"
        R"(\x{11bc0}-\x{11be0}\x{11f02}\x{11f04}-\x{11f10}\x{11f12}-\x{11f33}\x{1342f}\x{13441}-\x{13446})"
        R"(\x{13460}-\x{143fa}\x{16100}-\x{1611d}\x{16d43}-\x{16d6a}\x{18cff}\x{1b132}\x{1b155})"
        R"(\x{1e4d0}-\x{1e4ea}\x{1e5d0}-\x{1e5ed}\x{1e5f0}\x{2b739}\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})"},
};

class Translation {
 public:
  Translation(std::string_view pattern, const TokenizerPart& part)
      : pattern_(pattern), part_(part) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_character(c);
      } else if (c == '[') {
        open_class();
      } else if (c == '(') {
        group();
      } else if (c == '{') {
        interval();
      } else {
        result_ += c;
        ++at_;
      }
    }
    return std::move(result_);
  }

 private:
  [[noreturn]] void refuse(std::string_view construct) const {
    part_.refuse_unsupported("'" + std::string(construct) + "' in the pattern '" +
                             std::string(pattern_) + "'");
  }

  bool starts_with(std::string_view text) const {
    return pattern_.substr(at_, text.size()) == text;
  }

  void copy(std::size_t bytes) {
    result_ += pattern_.substr(at_, bytes);
    at_ += bytes;
  }

  void open_class() {
    copy(starts_with("[^") ? 2 : 1);
    if (starts_with("]")) refuse("[]");
    in_class_ = true;
  }

  // Ruby's classes nest and intersect; a bracket or && that stands alone is not worth the risk.
  void class_character(char c) {
    if (c == '[') refuse("[ in [");
    if (starts_with("&&")) refuse("&&");
    if (c == ']') in_class_ = false;
    copy(1);
  }

  void group() {
    if (starts_with("(*")) refuse("(*");
    if (!starts_with("(?")) return copy(1);
    for (const std::string_view known : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"}) {
      if (starts_with(known)) return copy(known.size());
    }
    // Ruby lets it reach over the alternatives that follow; from the start, so does PCRE2.
    if (at_ == 0 && starts_with("(?i)")) return copy(4);
    refuse(pattern_.substr(at_, 4));
  }

  // {n,m}+ repeats in Ruby and is possessive in PCRE2; {n}? is optional in Ruby; {,m} differs, too.
  void interval() {
    const std::size_t end = pattern_.find('}', at_);
    const std::string_view inside =
        pattern_.substr(at_ + 1, end == std::string_view::npos ? end : end - at_ - 1);
    const bool plain = end != std::string_view::npos && !inside.empty() && inside.front() != ',' &&
                       inside.find_first_not_of("0123456789,") == std::string_view::npos;
    if (!plain) refuse("{");
    copy(inside.size() + 2);
    if (starts_with("+") || starts_with("?"))
      refuse("{" + std::string(inside) + "}" + pattern_[at_]);
  }

  void put_set(std::string_view members, bool negated) {
    if (in_class_) {
      if (negated) refuse(pattern_.substr(at_, 2));
      result_ += members;
    } else {
      result_ += negated ? "[^" : "[";
      result_ += members;
      result_ += "]";
    }
  }

  void property() {
    const std::size_t end = pattern_.find('}', at_);
    if (pattern_.substr(at_ + 2, 1) != "{" || end == std::string_view::npos) refuse("\\p");
    std::string_view name = pattern_.substr(at_ + 3, end - at_ - 3);
    bool negated = pattern_[at_ + 1] == 'P';
    if (name.substr(0, 1) == "^") {
      negated = !negated;
      name.remove_prefix(1);
    }
    const auto* const known = std::find_if(kCategories.begin(), kCategories.end(),
                                           [&](const Category& c) { return c.name == name; });
    if (known == kCategories.end()) refuse(pattern_.substr(at_, end + 1 - at_));
    put_set("\\p{" + std::string(name) + "}" + std::string(known->newer), negated);
    at_ = end + 1;
  }

  void escape() {
    const char c = at_ + 1 < pattern_.size() ? pattern_[at_ + 1] : '\0';
    if (c == 'p' || c == 'P') return property();
    if (c == 's') {
      put_set(kSpace, false);
    } else if (c == 'S') {
      in_class_ ? put_set(kNoSpace, false) : put_set(kSpace, true);
    } else if (c == 'd' || c == 'D') {
      const auto digits = std::find_if(kCategories.begin(), kCategories.end(),
                                       [](const Category& known) { return known.name == "Nd"; });
      put_set("\\p{Nd}" + std::string(digits->newer), c == 'D');
    } else if (c == 'v') {
      result_ += "\\x0b";
    } else if (c == 'u') {
      return unicode_escape();
    } else if (std::string_view("nrtfAz").find(c) != std::string_view::npos ||
               (c > ' ' && c < 0x7F && !std::isalnum(static_cast<unsigned char>(c)))) {
      return copy(2);
    } else {
      refuse(pattern_.substr(at_, 2));
    }
    at_ += 2;
  }

  void unicode_escape() {
    const std::string_view digits = pattern_.substr(at_ + 2, 4);
    if (digits.size() != 4 ||
        digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
      refuse("\\u");
    result_ += "\\x{" + std::string(digits) + "}";
    at_ += 6;
  }

  std::string_view pattern_;
  const TokenizerPart& part_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::string result_;
};

}  // namespace

std::string to_pcre2(const std::string& pattern, const TokenizerPart& part) {
  return Translation(pattern, part).run();
}

}  // namespace suture
