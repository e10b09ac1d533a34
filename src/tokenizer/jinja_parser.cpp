#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <set>
#include <utility>

#include "tokenizer/jinja_syntax.h"

namespace suture::jinja {
namespace {

using Kind = Expression::Kind;
using Node = std::unique_ptr<Expression>;

constexpr int kMaxDepth = 100;  // of an expression, and of blocks

// What transformers passes, and what only a caller's own arguments set: undefined without.
constexpr std::array<std::string_view, 11> kVariables{"messages",
                                                      "add_generation_prompt",
                                                      "bos_token",
                                                      "eos_token",
                                                      "tools",
                                                      "documents",
                                                      "custom_tools",
                                                      "builtin_tools",
                                                      "date_string",
                                                      "enable_thinking",
                                                      "tools_in_user_message"};
constexpr std::array<std::string_view, 11> kReserved{"and", "or",   "not",  "in",   "is",  "if",
                                                     "for", "else", "elif", "loop", "self"};
constexpr std::array<std::string_view, 14> kConstantNames{
    "true",      "false", "none", "True",   "False",  "None",   "raise_exception",
    "namespace", "range", "dict", "cycler", "joiner", "lipsum", "strftime_now"};
constexpr std::array<std::string_view, 7> kLoopMembers{"first",  "last",     "index",    "index0",
                                                       "length", "revindex", "revindex0"};
constexpr std::array<std::string_view, 11> kDictMethods{"clear",  "copy",   "fromkeys",  "get",
                                                        "items",  "keys",   "pop",       "popitem",
                                                        "update", "values", "setdefault"};

template <class List>
bool is_in(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokens_of(source)) {}

  Block run() {
    Block block = statements({});
    for (const auto& [name, place] : names_) {
      if (!is_in(kVariables, name) && assigned_.count(name) == 0) throw Refusal(place);
    }
    return block;
  }

 private:
  const Token& now() const { return tokens_[at_]; }
  bool is_name(std::string_view name) const {
    return now().kind == Token::Kind::kName && now().text == name;
  }
  bool is_operator(std::string_view text) const {
    return now().kind == Token::Kind::kOperator && now().text == text;
  }
  bool takes_name(std::string_view name) { return is_name(name) && ++at_ > 0; }
  bool takes(std::string_view text) { return is_operator(text) && ++at_ > 0; }

  [[noreturn]] void refuse(const std::string& what) const {
    throw Refusal(told(what, tag_, now().line));
  }
  [[noreturn]] void refuse_here() const {
    if (now().kind == Token::Kind::kTagEnd) refuse("an unfinished expression");
    refuse("'" + now().text + "'");
  }
  void expect(std::string_view text) {
    if (!takes(text)) refuse_here();
  }
  void expect_end() {
    if (now().kind != Token::Kind::kTagEnd) refuse_here();
    ++at_;
  }

  Node make(Kind kind, std::string text = {}, Node a = nullptr, Node b = nullptr,
            Node c = nullptr) const {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->text = std::move(text);
    for (Node* part : {&a, &b, &c}) {
      if (*part) node->depth = std::max(node->depth, (*part)->depth + 1);
      node->parts.push_back(std::move(*part));
    }
    if (node->depth > kMaxDepth) refuse("an expression of over 100 levels");
    return node;
  }

  // --- Statements ---

  Block statements(std::initializer_list<std::string_view> ends) {
    if (++block_depth_ > kMaxDepth) refuse("blocks of over 100 levels");
    Block block;
    for (;;) {
      if (now().kind == Token::Kind::kEnd) {
        if (ends.size() > 0) refuse("a block without end");
        break;
      }
      if (now().kind == Token::Kind::kStatementBegin &&
          std::any_of(ends.begin(), ends.end(),
                      [&](std::string_view end) { return tokens_[at_ + 1].text == end; }))
        break;
      block.push_back(statement());
    }
    --block_depth_;
    return block;
  }

  Statement statement() {
    Statement result;
    result.line = now().line;
    if (now().kind == Token::Kind::kText) {
      result.text = now().text;
      ++at_;
      return result;
    }
    const bool prints = now().kind == Token::Kind::kPrintBegin;
    result.tag = tag_ = now().text;
    ++at_;
    if (prints) {
      result.kind = Statement::Kind::kPrint;
      result.expressions.push_back(choice());
      expect_end();
    } else if (takes_name("for")) {
      for_statement(result);
    } else if (takes_name("if")) {
      if_statement(result);
    } else if (takes_name("set")) {
      set_statement(result);
    } else {
      refuse("the statement '" + now().text + "'");
    }
    return result;
  }

  std::string target() {
    if (now().kind != Token::Kind::kName || is_in(kReserved, now().text) ||
        is_in(kConstantNames, now().text))
      refuse_here();
    assigned_.insert(now().text);
    return tokens_[at_++].text;
  }

  void for_statement(Statement& result) {
    result.kind = Statement::Kind::kFor;
    result.text = target();
    if (!takes_name("in")) refuse_here();
    result.expressions.push_back(disjunction());
    expect_end();
    ++loops_;
    result.blocks.push_back(statements({"endfor", "else"}));
    --loops_;
    end_of_block("endfor");
  }

  void if_statement(Statement& result) {
    result.kind = Statement::Kind::kIf;
    result.expressions.push_back(disjunction());
    expect_end();
    for (;;) {
      result.blocks.push_back(statements({"elif", "else", "endif"}));
      tag_ = now().text;
      if (tokens_[at_ + 1].text == "elif") {
        at_ += 2;
        result.expressions.push_back(disjunction());
        expect_end();
        continue;
      }
      if (tokens_[at_ + 1].text == "else") {
        at_ += 2;
        expect_end();
        result.blocks.push_back(statements({"endif"}));
      }
      end_of_block("endif");
      return;
    }
  }

  void end_of_block(std::string_view name) {
    tag_ = now().text;
    ++at_;
    if (!takes_name(name)) refuse_here();
    expect_end();
  }

  void set_statement(Statement& result) {
    result.kind = Statement::Kind::kSet;
    result.text = target();
    expect_assignment();
    result.expressions.push_back(choice());
    expect_end();
  }

  void expect_assignment() {
    if (!takes("=")) refuse("a set without a plain name and a value");
  }

  // --- Expressions, in the order of Jinja's precedence ---

  Node choice() {
    if (++nesting_ > kMaxDepth) refuse("an expression of over 100 levels");
    Node node = disjunction();
    while (takes_name("if")) {
      Node condition = disjunction();
      Node other = takes_name("else") ? choice() : nullptr;
      node = make(Kind::kChoice, {}, std::move(node), std::move(condition), std::move(other));
    }
    --nesting_;
    return node;
  }

  Node disjunction() {
    Node node = conjunction();
    while (takes_name("or")) node = make(Kind::kOr, {}, std::move(node), conjunction());
    return node;
  }

  Node conjunction() {
    Node node = negation();
    while (takes_name("and")) node = make(Kind::kAnd, {}, std::move(node), negation());
    return node;
  }

  Node negation() {
    if (!takes_name("not")) return comparison();
    if (++nesting_ > kMaxDepth) refuse("an expression of over 100 levels");
    Node node = make(Kind::kNot, {}, negation());
    --nesting_;
    return node;
  }

  std::string comparison_operator() {
    static constexpr std::array<std::string_view, 6> kOperators{"==", "!=", "<", ">", "<=", ">="};
    if (now().kind == Token::Kind::kOperator && is_in(kOperators, now().text))
      return tokens_[at_++].text;
    if (takes_name("in")) return "in";
    if (is_name("not") && tokens_[at_ + 1].kind == Token::Kind::kName &&
        tokens_[at_ + 1].text == "in") {
      at_ += 2;
      return "not in";
    }
    return {};
  }

  Node comparison() {
    Node node = sum();
    const std::string name = comparison_operator();
    if (name.empty()) return node;
    const bool negates = name == "not in";
    node = make(Kind::kBinary, negates ? "in" : name, std::move(node), sum());
    if (!comparison_operator().empty()) refuse("a chain of comparisons");
    return negates ? make(Kind::kNot, {}, std::move(node)) : std::move(node);
  }

  Node sum() {
    Node node = concatenation();
    while (is_operator("+") || is_operator("-")) {
      std::string sign = tokens_[at_++].text;
      node = make(Kind::kBinary, std::move(sign), std::move(node), concatenation());
    }
    return node;
  }

  Node concatenation() {
    Node node = product();
    while (takes("~")) node = make(Kind::kBinary, "~", std::move(node), product());
    return node;
  }

  Node product() {
    Node node = operand();
    while (takes("%")) node = make(Kind::kBinary, "%", std::move(node), operand());
    return node;
  }

  Node operand() {
    if (takes("-")) {
      if (now().kind != Token::Kind::kInteger) refuse_here();
      Node node = primary();
      node->integer = -node->integer;
      return node;
    }
    Node node = primary();
    for (;;) {
      if (takes(".")) {
        node = member(std::move(node));
      } else if (takes("[")) {
        node = item(std::move(node));
      } else {
        break;
      }
    }
    for (;;) {
      if (takes("|")) {
        node = filter(std::move(node));
      } else if (takes_name("is")) {
        node = test(std::move(node));
      } else if (is_operator("(") || is_operator(".") || is_operator("[")) {
        refuse_here();
      } else {
        return node;
      }
    }
  }

  Node primary() {
    const Token& token = now();
    if (token.kind == Token::Kind::kString) {
      std::string text;
      while (now().kind == Token::Kind::kString) text += tokens_[at_++].text;
      return make(Kind::kText, std::move(text));
    }
    if (token.kind == Token::Kind::kInteger) {
      Node node = make(Kind::kInteger);
      node->integer = std::stoll(tokens_[at_++].text);
      return node;
    }
    if (token.kind == Token::Kind::kName) return name();
    if (takes("(")) {
      Node node = choice();
      expect(")");
      return node;
    }
    if (takes("[")) return list();
    refuse_here();
  }

  Node name() {
    const std::string text = now().text;
    if (text == "loop") return loop_member();
    if (is_in(kReserved, text)) refuse_here();
    ++at_;
    if (text == "raise_exception" && takes("(")) {
      Node message = choice();
      expect(")");
      return make(Kind::kRaise, {}, std::move(message));
    }
    if (text == "none" || text == "None") return make(Kind::kNone);
    if (text == "true" || text == "True" || text == "false" || text == "False") {
      Node node = make(Kind::kBool);
      node->integer = text[0] == 't' || text[0] == 'T';
      return node;
    }
    if (is_in(kConstantNames, text) || is_operator("(")) refuse("the function '" + text + "'");
    if (names_.count(text) == 0)
      names_.emplace(text, told("the variable '" + text + "'", tag_, now().line));
    return make(Kind::kName, text);
  }

  Node loop_member() {
    ++at_;
    if (!takes(".") || loops_ == 0 || now().kind != Token::Kind::kName ||
        !is_in(kLoopMembers, now().text))
      refuse("'loop' but for its place in a loop");
    return make(Kind::kLoop, tokens_[at_++].text);
  }

  Node list() {
    Node node = make(Kind::kList);
    node->parts.clear();
    while (!is_operator("]")) {
      Node part = primary();
      if (part->kind != Kind::kText && part->kind != Kind::kInteger)
        refuse("a list of other than texts and numbers");
      node->parts.push_back(std::move(part));
      if (!takes(",")) break;
    }
    node->depth = 2;
    expect("]");
    return node;
  }

  void check_key(const std::string& key) const {
    if (is_in(kDictMethods, key) || key.substr(0, 1) == "_") refuse("the member '" + key + "'");
  }

  Node member(Node object) {
    if (now().kind != Token::Kind::kName) refuse_here();
    const std::string key = tokens_[at_++].text;
    if (takes("(")) {
      if ((key != "strip" && key != "lstrip" && key != "rstrip") || !takes(")"))
        refuse("the call of '" + key + "'");
      return make(Kind::kStrip, key, std::move(object));
    }
    check_key(key);
    return make(Kind::kMember, key, std::move(object));
  }

  Node item(Node object) {
    Node first = is_operator(":") ? nullptr : choice();
    if (takes(":")) {
      Node last = is_operator("]") ? nullptr : choice();
      expect("]");
      return make(Kind::kSlice, {}, std::move(object), std::move(first), std::move(last));
    }
    expect("]");
    if (first->kind == Kind::kText) {
      check_key(first->text);
      return make(Kind::kMember, first->text, std::move(object));
    }
    return make(Kind::kItem, {}, std::move(object), std::move(first));
  }

  Node filter(Node object) {
    if (now().kind != Token::Kind::kName) refuse_here();
    const std::string text = tokens_[at_++].text;
    const bool has_arguments = is_operator("(");
    if (text == "trim" && !has_arguments) return make(Kind::kStrip, text, std::move(object));
    if (text == "length" && !has_arguments) return make(Kind::kLength, {}, std::move(object));
    // Only for tools, so that a template's branch for them is no hindrance.
    if (text == "tojson" && !has_arguments)
      return make(Kind::kUnwritten, "the filter 'tojson'", std::move(object));
    refuse("the filter '" + text + "'" + (has_arguments ? " with arguments" : ""));
  }

  Node test(Node object) {
    const bool negates = takes_name("not");
    static constexpr std::array<std::string_view, 6> kTests{"defined", "undefined", "none",
                                                            "string",  "true",      "false"};
    if (now().kind != Token::Kind::kName || !is_in(kTests, now().text))
      refuse("the test '" + now().text + "'");
    std::string text = tokens_[at_++].text;
    const Token::Kind next = now().kind;
    // Jinja takes what follows a test as its argument, but for these.
    if (next == Token::Kind::kString || next == Token::Kind::kInteger || is_operator("(") ||
        is_operator("[") ||
        (next == Token::Kind::kName && !is_name("and") && !is_name("or") && !is_name("else")))
      refuse_here();
    Node node = make(Kind::kTest, std::move(text), std::move(object));
    return negates ? make(Kind::kNot, {}, std::move(node)) : std::move(node);
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::string tag_;
  int block_depth_ = 0;
  int nesting_ = 0;
  int loops_ = 0;
  std::set<std::string> assigned_;
  std::map<std::string, std::string> names_;  // with their first places
};

}  // namespace

Block parse(std::string_view source) { return Parser(normalised_source(source)).run(); }

}  // namespace suture::jinja
