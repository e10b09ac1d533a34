#include "suture/selection.h"

#include <algorithm>
#include <cctype>
#include <climits>
#include <fnmatch.h>
#include <functional>
#include <optional>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"

#include "core/nearest_name.h"
#include "core/pattern.h"

namespace suture {

struct Selection::Node {
  enum class Kind { kAtom, kAnd, kOr, kNot };

  Kind kind = Kind::kAtom;
  std::string text;  // of an atom, as `key=value`
  std::function<bool(std::string_view name, const Site& site)> test;
  int highest_layer = -1;  // that a `layer=` atom speaks of
  std::shared_ptr<const Node> left, right;

  bool matches(std::string_view name, const Site& site) const {
    switch (kind) {
      case Kind::kAnd:
        return left->matches(name, site) && right->matches(name, site);
      case Kind::kOr:
        return left->matches(name, site) || right->matches(name, site);
      case Kind::kNot:
        return !left->matches(name, site);
      default:
        return test(name, site);
    }
  }
};

namespace {

using Node = Selection::Node;
using NodePtr = std::shared_ptr<const Node>;

constexpr int kMaxNesting = 64;
constexpr std::size_t kMaxTextBytes = 65536;

struct LayerRange {
  int first = 0, last = INT_MAX;
};

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0;;) {
    const std::size_t comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
    if (comma == std::string::npos) return parts;
    begin = comma + 1;
  }
}

std::optional<int> parse_index(const std::string& text) {
  if (text.empty() || text.size() > 6 ||
      !std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); })) {
    return std::nullopt;
  }
  return std::stoi(text);
}

LayerRange parse_layer_range(const std::string& text) {
  const std::size_t dash = text.find('-');
  const auto first = parse_index(text.substr(0, dash));
  std::optional<int> last = first;
  if (dash != std::string::npos) {
    last = dash + 1 == text.size() ? INT_MAX : parse_index(text.substr(dash + 1));
  }
  if (!first || !last || *last < *first) {
    throw UsageError({{},
                      {},
                      "'" + printable(text) + "' is not a range of layers",
                      "such as 3, 0-7 or 20-",
                      {}});
  }
  return {*first, *last};
}

Node layer_atom(const std::string& value) {
  Node node;
  std::vector<LayerRange> ranges;
  for (const std::string& part : split_at_commas(value)) {
    const LayerRange range = parse_layer_range(part);
    node.highest_layer =
        std::max(node.highest_layer, range.last == INT_MAX ? range.first : range.last);
    ranges.push_back(range);
  }
  node.test = [ranges](std::string_view, const Site& site) {
    return site.layer && std::any_of(ranges.begin(), ranges.end(), [&](const LayerRange& range) {
             return *site.layer >= range.first && *site.layer <= range.last;
           });
  };
  return node;
}

Node block_atom(const std::string& value) {
  std::vector<Block> blocks;
  for (const std::string& part : split_at_commas(value)) {
    const auto block = block_from_name(part);
    if (!block) {
      throw UsageError({{},
                        {},
                        "no block is called '" + printable(part) + "'",
                        "attention, mlp, norm, embedding, head or other",
                        {}});
    }
    blocks.push_back(*block);
  }
  Node node;
  node.test = [blocks](std::string_view, const Site& site) {
    return std::find(blocks.begin(), blocks.end(), site.block) != blocks.end();
  };
  return node;
}

Node module_atom(const std::string& value) {
  Node node;
  node.test = [modules = split_at_commas(value)](std::string_view, const Site& site) {
    return std::find(modules.begin(), modules.end(), site.module) != modules.end();
  };
  return node;
}

Node name_atom(const std::string& value) {
  Node node;
  node.test = [value](std::string_view name, const Site&) {
    return ::fnmatch(value.c_str(), std::string(name).c_str(), 0) == 0;
  };
  return node;
}

Node regex_atom(const std::string& value) {
  Node node;
  node.test = [pattern = Pattern(value)](std::string_view name, const Site&) {
    return pattern.found_in(name);
  };
  return node;
}

// A value that the parser would not read back whole is written in quotes.
std::string quoted_if_needed(const std::string& value) {
  if (value.find_first_of(" \t&|()'\"") == std::string::npos) return value;
  const char quote = value.find('\'') == std::string::npos ? '\'' : '"';
  // With both kinds of quotes inside, it was not written in quotes.
  if (value.find(quote) != std::string::npos) return value;
  return quote + value + quote;
}

NodePtr make_atom(const std::string& key, const std::string& value) {
  if (value.empty()) throw UsageError({{}, {}, "nothing after '" + key + "='", "a value", {}});
  Node node = key == "layer"    ? layer_atom(value)
              : key == "block"  ? block_atom(value)
              : key == "module" ? module_atom(value)
              : key == "name"   ? name_atom(value)
              : key == "re"     ? regex_atom(value)
                                : throw UsageError({{},
                                                    {},
                                                    "unknown condition '" + printable(key) + "='",
                                                    "layer=, block=, module=, name= or re=",
                                                    {}});
  node.text = key + "=" + quoted_if_needed(value);
  return std::make_shared<Node>(std::move(node));
}

NodePtr combine(Node::Kind kind, NodePtr left, NodePtr right = nullptr) {
  auto node = std::make_shared<Node>();
  node->kind = kind;
  node->left = std::move(left);
  node->right = std::move(right);
  return node;
}

// Recursive descent: or := and ('|' and)*, and := unary ('&' unary)*, unary := '!' unary | '(' or
// ')' | atom.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  NodePtr parse() {
    if (text_.size() > kMaxTextBytes)
      throw UsageError({{}, {}, "a selection of over 64 KiB", {}, {}});
    NodePtr node = parse_or();
    if (skip_spaces(); at_ < text_.size()) fail("an operator & or |");
    return node;
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    const std::string found =
        at_ < text_.size() ? "'" + printable(text_.substr(at_, 20)) + "'" : "its end";
    throw UsageError(
        {{},
         {},
         "selection '" + printable(text_) + "': " + found + " at character " + std::to_string(at_),
         expected,
         {}});
  }

  void skip_spaces() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }

  bool accept(char symbol) {
    skip_spaces();
    if (at_ >= text_.size() || text_[at_] != symbol) return false;
    ++at_;
    return true;
  }

  NodePtr parse_or() {
    NodePtr node = parse_and();
    while (accept('|')) node = combine(Node::Kind::kOr, node, parse_and());
    return node;
  }

  NodePtr parse_and() {
    NodePtr node = parse_unary();
    while (accept('&')) node = combine(Node::Kind::kAnd, node, parse_unary());
    return node;
  }

  NodePtr parse_unary() {
    if (++nesting_ > kMaxNesting) fail("at most 64 levels of nesting");
    NodePtr node;
    if (accept('!')) {
      node = combine(Node::Kind::kNot, parse_unary());
    } else if (accept('(')) {
      node = parse_or();
      if (!accept(')')) fail("a closing )");
    } else {
      node = parse_atom();
    }
    --nesting_;
    return node;
  }

  NodePtr parse_atom() {
    skip_spaces();
    const std::size_t begin = at_;
    while (at_ < text_.size() && std::islower(static_cast<unsigned char>(text_[at_]))) ++at_;
    const std::string key(text_.substr(begin, at_ - begin));
    if (key.empty() || !accept('=')) fail("a condition such as layer=0-7 or module=q_proj");
    return make_atom(key, parse_value());
  }

  std::string parse_value() {
    if (at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"')) return parse_quoted();
    // A pattern may hold ( | ) of its own: only those outside its parentheses end it.
    const std::size_t begin = at_;
    for (int depth = 0; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (std::isspace(static_cast<unsigned char>(c))) break;
      if (depth == 0 && (c == '&' || c == '|' || c == ')')) break;
      if (c == '(') ++depth;
      if (c == ')') --depth;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string parse_quoted() {
    const char quote = text_[at_++];
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail("a closing quote");
    std::string value(text_.substr(at_, end - at_));
    at_ = end + 1;
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int nesting_ = 0;
};

void collect_atoms(const Node& node, std::vector<const Node*>& atoms) {
  if (node.kind == Node::Kind::kAtom) {
    atoms.push_back(&node);
    return;
  }
  collect_atoms(*node.left, atoms);
  if (node.right) collect_atoms(*node.right, atoms);
}

// Parentheses only around another operator: a chain of one stays as flat as it was written.
std::string describe(const Node& node) {
  const auto operand = [&](const Node& child) {
    const bool bare = child.kind == node.kind || child.kind == Node::Kind::kNot ||
                      child.kind == Node::Kind::kAtom;
    return bare ? describe(child) : "(" + describe(child) + ")";
  };
  switch (node.kind) {
    case Node::Kind::kAnd:
      return operand(*node.left) + " & " + operand(*node.right);
    case Node::Kind::kOr:
      return operand(*node.left) + " | " + operand(*node.right);
    case Node::Kind::kNot:
      return "!" + operand(*node.left);
    default:
      return node.text;
  }
}

// What a mistyped atom may have meant: modules for `module=`, whole names for the rest.
std::string suggestion_for(const Node& atom, const std::vector<std::string>& tensor_names) {
  const std::size_t equals = atom.text.find('=');
  const bool by_module = atom.text.compare(0, equals, "module") == 0;
  std::vector<std::string> candidates;
  for (const std::string& name : tensor_names)
    candidates.push_back(by_module ? site_of(name).module : name);
  return did_you_mean(atom.text.substr(equals + 1), std::move(candidates));
}

}  // namespace

Selection::Selection() = default;
Selection::Selection(std::shared_ptr<const Node> root) : root_(std::move(root)) {}

Selection Selection::parse(std::string_view text) {
  if (text == "all") return Selection();
  return Selection(Parser(text).parse());
}

bool Selection::matches(std::string_view tensor_name) const {
  return !root_ || root_->matches(tensor_name, site_of(tensor_name));
}

void Selection::require_matches(const std::vector<std::string>& tensor_names) const {
  if (!root_) return;
  std::vector<Site> sites;
  int last_layer = -1;
  for (const std::string& name : tensor_names) {
    sites.push_back(site_of(name));
    last_layer = std::max(last_layer, sites.back().layer.value_or(-1));
  }
  std::vector<const Node*> atoms;
  collect_atoms(*root_, atoms);
  for (const Node* atom : atoms) {
    if (atom->highest_layer > last_layer) {
      throw UsageError(
          {{},
           {},
           atom->text + " speaks of layer " + std::to_string(atom->highest_layer),
           last_layer < 0 ? "no layers here" : "layers 0 to " + std::to_string(last_layer),
           {}});
    }
    // A block is never a typing error: a model may simply have no head of its own.
    if (atom->text.rfind("block=", 0) == 0) continue;
    bool found = false;
    for (std::size_t i = 0; i < sites.size() && !found; ++i) {
      found = atom->test(tensor_names[i], sites[i]);
    }
    if (!found) {
      throw UsageError(
          {{}, {}, atom->text + " selects no tensor", {}, suggestion_for(*atom, tensor_names)});
    }
  }
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (root_->matches(tensor_names[i], sites[i])) return;
  }
  throw UsageError({{}, {}, to_string() + " selects no tensor", "at least one", {}});
}

std::string Selection::to_string() const { return root_ ? describe(*root_) : "all"; }

bool Selection::is_all() const { return !root_; }

Selection operator&(const Selection& a, const Selection& b) {
  if (!a.root_) return b;
  if (!b.root_) return a;
  return Selection(combine(Node::Kind::kAnd, a.root_, b.root_));
}

Selection operator|(const Selection& a, const Selection& b) {
  if (!a.root_ || !b.root_) return Selection();
  return Selection(combine(Node::Kind::kOr, a.root_, b.root_));
}

Selection operator!(const Selection& a) {
  if (!a.root_) return !Selection::parse("name=*");
  return Selection(combine(Node::Kind::kNot, a.root_));
}

}  // namespace suture
