#include "tokenizer/jinja.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <variant>

#include "tokenizer/python_strip.h"

namespace suture::jinja {
namespace {

using Kind = Expression::Kind;

// A step costs about this many bytes of text.
constexpr std::size_t kBytesPerStep = 64;
constexpr std::size_t kMaxSteps = 10'000'000;
constexpr std::int64_t kMaxInteger = 1'000'000'000'000;

struct Undefined {};
struct None {};
struct Value;
using List = std::shared_ptr<const std::vector<Value>>;
using Message = const ChatMessage*;

struct Value : std::variant<Undefined, None, bool, std::int64_t, std::string, List, Message> {
  using variant::variant;
};

template <class T>
const T* as(const Value& value) {
  return std::get_if<T>(&value);
}

struct LoopPlace {
  std::int64_t index0 = 0;
  std::int64_t length = 0;
};

bool truth(const Value& value) {
  if (const auto* flag = as<bool>(value)) return *flag;
  if (const auto* integer = as<std::int64_t>(value)) return *integer != 0;
  if (const auto* text = as<std::string>(value)) return !text->empty();
  if (const auto* list = as<List>(value)) return !(*list)->empty();
  return as<Message>(value) != nullptr;
}

// As Python's str().
std::string text_of(const Value& value) {
  if (as<Undefined>(value)) return {};
  if (as<None>(value)) return "None";
  if (const auto* flag = as<bool>(value)) return *flag ? "True" : "False";
  if (const auto* integer = as<std::int64_t>(value)) return std::to_string(*integer);
  if (const auto* text = as<std::string>(value)) return *text;
  throw Refusal("a list or a message as text");
}

std::optional<std::int64_t> number(const Value& value) {
  if (const auto* flag = as<bool>(value)) return *flag ? 1 : 0;
  if (const auto* integer = as<std::int64_t>(value)) return *integer;
  return std::nullopt;
}

bool equal(const Value& a, const Value& b) {
  for (const Value* side : {&a, &b}) {
    if (as<List>(*side) || as<Message>(*side)) throw Refusal("a list or a message compared");
  }
  if (number(a) && number(b)) return number(a) == number(b);
  if (as<std::string>(a) && as<std::string>(b)) return *as<std::string>(a) == *as<std::string>(b);
  return a.index() == b.index() && (as<Undefined>(a) || as<None>(a));
}

bool compare(const std::string& name, std::int64_t a, std::int64_t b) {
  if (name == "<") return a < b;
  if (name == ">") return a > b;
  return name == "<=" ? a <= b : a >= b;
}

std::int64_t calculate(const std::string& name, std::int64_t a, std::int64_t b) {
  if (name == "+") return a + b;
  if (name == "-") return a - b;
  if (b == 0) throw Refusal("a division by zero");
  const std::int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

class Renderer {
 public:
  Renderer(const std::vector<ChatMessage>& messages, const Surroundings& surroundings) {
    std::vector<Value> all;
    for (const ChatMessage& message : messages) all.emplace_back(&message);
    auto& names = scopes_.emplace_back();
    names["messages"] = std::make_shared<const std::vector<Value>>(std::move(all));
    names["add_generation_prompt"] = surroundings.add_generation_prompt;
    names["tools"] = None{};
    names["documents"] = None{};
    if (surroundings.bos_token) names["bos_token"] = *surroundings.bos_token;
    if (surroundings.eos_token) names["eos_token"] = *surroundings.eos_token;
  }

  std::string run(const Block& block) {
    write(block);
    return std::move(out_);
  }

 private:
  void step(std::size_t bytes = 0) {
    steps_ += 1 + bytes / kBytesPerStep;
    if (steps_ > kMaxSteps) throw Refusal("more steps than a conversation needs");
  }

  void write(const Block& block) {
    for (const Statement& statement : block) {
      step(statement.text.size());
      if (statement.kind == Statement::Kind::kText) {
        out_ += statement.text;
        continue;
      }
      now_ = &statement;
      write(statement);
    }
  }

  void write(const Statement& statement) {
    switch (statement.kind) {
      case Statement::Kind::kText:
        return;
      case Statement::Kind::kPrint:
        out_ += text_of(value(*statement.expressions[0]));
        return;
      case Statement::Kind::kSet: {
        Value result = value(*statement.expressions[0]);
        scopes_.back()[statement.text] = std::move(result);
        return;
      }
      case Statement::Kind::kFor:
        return loop(statement);
      case Statement::Kind::kIf:
        for (std::size_t i = 0; i < statement.blocks.size(); ++i) {
          if (i < statement.expressions.size() && !truth(value(*statement.expressions[i])))
            continue;
          return write(statement.blocks[i]);
        }
    }
  }

  // Each pass has its own variables, as in Jinja: what it sets is gone behind it.
  void loop(const Statement& statement) {
    const Value over = value(*statement.expressions[0]);
    if (as<Undefined>(over)) return;
    const auto* list = as<List>(over);
    if (list == nullptr) throw Refusal("a loop over other than a list");
    loops_.push_back({0, static_cast<std::int64_t>((*list)->size())});
    for (const Value& element : **list) {
      step();
      scopes_.emplace_back()[statement.text] = element;
      write(statement.blocks[0]);
      scopes_.pop_back();
      ++loops_.back().index0;
    }
    loops_.pop_back();
  }

  Value value(const Expression& node) {
    Value result = computed(node);
    const auto* text = as<std::string>(result);
    step(text == nullptr ? 0 : text->size());
    return result;
  }
  Value part(const Expression& node, std::size_t i) { return value(*node.parts[i]); }

  Value computed(const Expression& node) {
    switch (node.kind) {
      case Kind::kText:
        return node.text;
      case Kind::kInteger:
        return node.integer;
      case Kind::kBool:
        return node.integer != 0;
      case Kind::kNone:
        return None{};
      case Kind::kName:
        return variable(node.text);
      case Kind::kLoop:
        return loop_member(node.text);
      case Kind::kMember:
        return member(part(node, 0), node.text);
      case Kind::kItem:
        return item(part(node, 0), part(node, 1));
      case Kind::kSlice:
        return slice(node);
      case Kind::kList:
        return list(node);
      case Kind::kStrip:
        return strip(node);
      case Kind::kLength:
        return length(part(node, 0));
      case Kind::kUnwritten:
        throw Refusal(node.text);
      case Kind::kRaise:
        throw Refusal("the template's own error '" + text_of(part(node, 0)) + "'");
      case Kind::kTest:
        return test(part(node, 0), node.text);
      case Kind::kNot:
        return !truth(part(node, 0));
      case Kind::kAnd: {
        Value first = part(node, 0);
        return truth(first) ? part(node, 1) : first;
      }
      case Kind::kOr: {
        Value first = part(node, 0);
        return truth(first) ? first : part(node, 1);
      }
      case Kind::kChoice:
        if (truth(part(node, 1))) return part(node, 0);
        return node.parts[2] ? part(node, 2) : Value(Undefined{});
      case Kind::kBinary: {
        const Value first = part(node, 0), second = part(node, 1);
        return binary(node.text, first, second);
      }
    }
    return Undefined{};
  }

  Value variable(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto found = scope->find(name);
      if (found != scope->end()) return found->second;
    }
    return Undefined{};
  }

  Value loop_member(const std::string& name) const {
    const auto& [index0, count] = loops_.back();
    if (name == "first") return index0 == 0;
    if (name == "last") return index0 + 1 == count;
    if (name == "index") return index0 + 1;
    if (name == "index0") return index0;
    if (name == "length") return count;
    return name == "revindex" ? count - index0 : count - index0 - 1;
  }

  static Value member(const Value& object, const std::string& key) {
    const auto* message = as<Message>(object);
    if (message == nullptr) {
      throw Refusal("'" + key + "' of " +
                    (as<Undefined>(object) ? "what is undefined" : "other than a message"));
    }
    if (key == "role") return (*message)->role;
    if (key == "content") return (*message)->content;
    if (key == "tool_calls" || key == "tool_call_id" || key == "name") return Undefined{};
    throw Refusal("a message's member '" + key + "'");
  }

  static Value item(const Value& object, const Value& index) {
    const auto* list = as<List>(object);
    const auto* place = as<std::int64_t>(index);
    if (list == nullptr || place == nullptr) throw Refusal("an index of other than a list");
    const auto size = static_cast<std::int64_t>((*list)->size());
    const std::int64_t at = *place < 0 ? *place + size : *place;
    return at < 0 || at >= size ? Value(Undefined{}) : (**list)[static_cast<std::size_t>(at)];
  }

  std::int64_t bound(const Expression* node, std::int64_t size, std::int64_t otherwise) {
    if (node == nullptr) return otherwise;
    const Value place = value(*node);
    const auto* at = as<std::int64_t>(place);
    if (at == nullptr) throw Refusal("a slice by other than a number");
    return std::clamp<std::int64_t>(*at < 0 ? *at + size : *at, 0, size);
  }

  Value slice(const Expression& node) {
    const Value object = part(node, 0);
    const auto* list = as<List>(object);
    if (list == nullptr) throw Refusal("a slice of other than a list");
    const auto size = static_cast<std::int64_t>((*list)->size());
    const std::int64_t first = bound(node.parts[1].get(), size, 0);
    const std::int64_t last = std::max(first, bound(node.parts[2].get(), size, size));
    step(static_cast<std::size_t>(last - first) * kBytesPerStep);
    return std::make_shared<const std::vector<Value>>((*list)->begin() + first,
                                                      (*list)->begin() + last);
  }

  Value list(const Expression& node) {
    std::vector<Value> values;
    for (const auto& element : node.parts) values.push_back(value(*element));
    return std::make_shared<const std::vector<Value>>(std::move(values));
  }

  Value strip(const Expression& node) {
    const Value object = part(node, 0);
    if (node.text == "trim") return std::string(stripped(text_of(object)));
    const auto* text = as<std::string>(object);
    if (text == nullptr) throw Refusal("'" + node.text + "' of other than a text");
    if (node.text == "strip") return std::string(stripped(*text));
    return std::string(node.text == "lstrip" ? left_stripped(*text) : right_stripped(*text));
  }

  static Value length(const Value& object) {
    const auto* list = as<List>(object);
    if (list == nullptr) throw Refusal("the length of other than a list");
    return static_cast<std::int64_t>((*list)->size());
  }

  static Value test(const Value& object, const std::string& name) {
    if (name == "defined") return as<Undefined>(object) == nullptr;
    if (name == "undefined") return as<Undefined>(object) != nullptr;
    if (name == "none") return as<None>(object) != nullptr;
    if (name == "string") return as<std::string>(object) != nullptr;
    const auto* flag = as<bool>(object);
    return flag != nullptr && *flag == (name == "true");
  }

  Value binary(const std::string& name, const Value& first, const Value& second) {
    if (name == "==") return equal(first, second);
    if (name == "!=") return !equal(first, second);
    if (name == "~") return text_of(first) + text_of(second);
    if (name == "in") return contains(first, second);
    const auto *a = as<std::int64_t>(first), *b = as<std::int64_t>(second);
    if (a != nullptr && b != nullptr) {
      if (name[0] == '<' || name[0] == '>') return compare(name, *a, *b);
      const std::int64_t result = calculate(name, *a, *b);
      if (result > kMaxInteger || result < -kMaxInteger) throw Refusal("too large a number");
      return result;
    }
    const auto *text = as<std::string>(first), *more = as<std::string>(second);
    if (name != "+" || text == nullptr || more == nullptr)
      throw Refusal("'" + name + "' of other than two texts or two numbers");
    return *text + *more;
  }

  bool contains(const Value& element, const Value& in) {
    const auto* list = as<List>(in);
    if (list == nullptr) throw Refusal("'in' of other than a list");
    step((*list)->size() * kBytesPerStep);
    return std::any_of((*list)->begin(), (*list)->end(),
                       [&](const Value& value) { return equal(element, value); });
  }

  friend std::string suture::jinja::render(const Block&, const std::vector<ChatMessage>&,
                                           const Surroundings&);

  const Statement* now_ = nullptr;
  std::vector<std::map<std::string, Value>> scopes_;
  std::vector<LoopPlace> loops_;
  std::string out_;
  std::size_t steps_ = 0;
};

bool reads(const Expression* node, const std::string& name) {
  if (node == nullptr) return false;
  return (node->kind == Kind::kName && node->text == name) ||
         std::any_of(node->parts.begin(), node->parts.end(),
                     [&](const auto& part) { return reads(part.get(), name); });
}

}  // namespace

std::string render(const Block& program, const std::vector<ChatMessage>& messages,
                   const Surroundings& surroundings) {
  Renderer renderer(messages, surroundings);
  try {
    return renderer.run(program);
  } catch (const Refusal& refusal) {
    const Statement* at = renderer.now_;
    throw Refusal(at == nullptr ? refusal.what() : told(refusal.what(), at->tag, at->line));
  }
}

bool reads(const Block& program, const std::string& name) {
  return std::any_of(program.begin(), program.end(), [&](const Statement& statement) {
    return std::any_of(statement.expressions.begin(), statement.expressions.end(),
                       [&](const auto& expression) { return reads(expression.get(), name); }) ||
           std::any_of(statement.blocks.begin(), statement.blocks.end(),
                       [&](const Block& block) { return reads(block, name); });
  });
}

}  // namespace suture::jinja
