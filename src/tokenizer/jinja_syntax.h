#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace suture::jinja {

/// Why a template, or a conversation by it, is refused; `what()` is raw text.
class Refusal : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A piece of a template.
struct Token {
  enum class Kind {
    kText,  ///< Outside of tags, with white space as it is to be written.
    kStatementBegin,
    kPrintBegin,
    kTagEnd,
    kName,
    kString,
    kInteger,
    kOperator,
    kEnd
  };
  Kind kind = Kind::kEnd;
  std::string text;      ///< Of a string what it stands for; of a beginning the whole tag.
  std::size_t line = 0;  ///< From 1.
};

/// The tokens of a template, the last of kind kEnd. White space as transformers sets Jinja up:
/// `trim_blocks` and `lstrip_blocks`, and without a last newline. Throws Refusal.
std::vector<Token> tokens_of(std::string_view source);

/// Line breaks as `\n`, one at the end left out.
std::string normalised_source(std::string_view source);

struct Expression {
  enum class Kind {
    kText,
    kInteger,
    kBool,
    kNone,
    kName,
    kLoop,       ///< `loop.TEXT`
    kMember,     ///< part 0, key TEXT
    kItem,       ///< part 0, index part 1
    kSlice,      ///< part 0, `[part 1 : part 2]`, either may be null
    kList,       ///< of constants
    kStrip,      ///< a method or filter; TEXT is strip, lstrip, rstrip or trim
    kLength,     ///< the filter
    kUnwritten,  ///< parsed, but refused where it is reached; TEXT names it
    kRaise,      ///< `raise_exception(part 0)`
    kTest,       ///< part 0 `is TEXT`
    kNot,
    kAnd,
    kOr,
    kChoice,  ///< part 0 if part 1 else part 2, which may be null
    kBinary   ///< TEXT is one of + - % ~ == != < > <= >= in
  };
  Kind kind = Kind::kNone;
  std::string text;
  std::int64_t integer = 0;
  std::vector<std::unique_ptr<Expression>> parts;
  int depth = 1;
};

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
  enum class Kind { kText, kPrint, kSet, kFor, kIf };
  Kind kind = Kind::kText;
  std::string text;      ///< Written text; the name that is set, or of the loop.
  std::string tag;       ///< For errors.
  std::size_t line = 0;  ///< From 1.
  std::vector<std::unique_ptr<Expression>> expressions;  ///< One; one for each `if` and `elif`.
  std::vector<Block> blocks;  ///< One more than conditions when there is an `else`.
};

/// The statements of a template. Throws Refusal for each construct outside of the subset that
/// jinja.h tells.
Block parse(std::string_view source);

/// `what` in a tag, told for a Refusal.
std::string told(const std::string& what, const std::string& tag, std::size_t line);

}  // namespace suture::jinja
