#include "format/pickle.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "suture/error.h"

namespace suture::format {
namespace {

using Role = GlobalRole;
constexpr std::string_view kTorch = "torch";
constexpr std::string_view kUtils = "torch._utils";
constexpr std::string_view kTensor = "torch._tensor";

constexpr KnownGlobal kKnownGlobals[] = {
    {"collections", "OrderedDict", Role::kOrderedDict, {}},
    {kUtils, "_rebuild_tensor_v2", Role::kRebuildTensor, {}},
    {kUtils, "_rebuild_tensor_v3", Role::kRebuildTensorWithDtype, {}},
    {kUtils, "_rebuild_parameter", Role::kRebuildParameter, {}},
    {kUtils, "_rebuild_parameter_with_state", Role::kRebuildParameter, {}},

    {kTorch, "FloatStorage", Role::kStorage, Dtype::kF32},
    {kTorch, "HalfStorage", Role::kStorage, Dtype::kF16},
    {kTorch, "BFloat16Storage", Role::kStorage, Dtype::kBF16},
    {kTorch, "DoubleStorage", Role::kStorage, Dtype::kF64},
    {kTorch, "LongStorage", Role::kStorage, Dtype::kI64},
    {kTorch, "IntStorage", Role::kStorage, Dtype::kI32},
    {kTorch, "ShortStorage", Role::kStorage, Dtype::kI16},
    {kTorch, "CharStorage", Role::kStorage, Dtype::kI8},
    {kTorch, "ByteStorage", Role::kStorage, Dtype::kU8},
    {kTorch, "BoolStorage", Role::kStorage, Dtype::kBool},
    {kTorch, "ComplexFloatStorage", Role::kStorage, Dtype::kC64},
    {kTorch, "ComplexDoubleStorage", Role::kStorage, {}},
    {kTorch, "QUInt8Storage", Role::kStorage, {}},
    {kTorch, "QInt8Storage", Role::kStorage, {}},
    {kTorch, "QInt32Storage", Role::kStorage, {}},
    {kTorch, "QUInt4x2Storage", Role::kStorage, {}},
    {kTorch, "QUInt2x4Storage", Role::kStorage, {}},
    {"torch.storage", "UntypedStorage", Role::kUntypedStorage, {}},
    {kTorch, "UntypedStorage", Role::kUntypedStorage, {}},

    {kTorch, "float32", Role::kDtype, Dtype::kF32},
    {kTorch, "float16", Role::kDtype, Dtype::kF16},
    {kTorch, "bfloat16", Role::kDtype, Dtype::kBF16},
    {kTorch, "float64", Role::kDtype, Dtype::kF64},
    {kTorch, "int64", Role::kDtype, Dtype::kI64},
    {kTorch, "int32", Role::kDtype, Dtype::kI32},
    {kTorch, "int16", Role::kDtype, Dtype::kI16},
    {kTorch, "int8", Role::kDtype, Dtype::kI8},
    {kTorch, "uint8", Role::kDtype, Dtype::kU8},
    {kTorch, "uint16", Role::kDtype, Dtype::kU16},
    {kTorch, "uint32", Role::kDtype, Dtype::kU32},
    {kTorch, "uint64", Role::kDtype, Dtype::kU64},
    {kTorch, "bool", Role::kDtype, Dtype::kBool},
    {kTorch, "complex64", Role::kDtype, Dtype::kC64},
    {kTorch, "complex128", Role::kDtype, {}},
    {kTorch, "complex32", Role::kDtype, {}},
    {kTorch, "float8_e4m3fn", Role::kDtype, Dtype::kF8E4M3},
    {kTorch, "float8_e5m2", Role::kDtype, Dtype::kF8E5M2},
    {kTorch, "float8_e4m3fnuz", Role::kDtype, Dtype::kF8E4M3FNUZ},
    {kTorch, "float8_e5m2fnuz", Role::kDtype, Dtype::kF8E5M2FNUZ},
    {kTorch, "float8_e8m0fnu", Role::kDtype, Dtype::kF8E8M0},
    {kTorch, "float4_e2m1fn_x2", Role::kDtype, Dtype::kF4},
    {kTorch, "quint8", Role::kDtype, {}},
    {kTorch, "qint8", Role::kDtype, {}},
    {kTorch, "qint32", Role::kDtype, {}},

    {kUtils, "_rebuild_tensor", Role::kUnsupportedTensor, {}},
    {kUtils, "_rebuild_qtensor", Role::kUnsupportedTensor, {}},
    {kUtils, "_rebuild_sparse_tensor", Role::kUnsupportedTensor, {}},
    {kUtils, "_rebuild_sparse_csr_tensor", Role::kUnsupportedTensor, {}},
    {kUtils, "_rebuild_nested_tensor", Role::kUnsupportedTensor, {}},
    {kUtils, "_rebuild_meta_tensor_no_storage", Role::kUnsupportedTensor, {}},
    {kUtils, "_rebuild_wrapper_subclass", Role::kUnsupportedTensor, {}},
    {kUtils, "_rebuild_device_tensor_from_numpy", Role::kUnsupportedTensor, {}},
    {kUtils, "_rebuild_device_tensor_from_cpu_tensor", Role::kUnsupportedTensor, {}},
    {kTensor, "_rebuild_from_type", Role::kUnsupportedTensor, {}},
    {kTensor, "_rebuild_from_type_v2", Role::kUnsupportedTensor, {}},

    {kTorch, "Size", Role::kHarmless, {}},
    {kTorch, "device", Role::kHarmless, {}},
    {kTorch, "Tensor", Role::kHarmless, {}},
    {kTorch, "per_tensor_affine", Role::kHarmless, {}},
    {kTorch, "per_channel_affine", Role::kHarmless, {}},
    {kTorch, "per_channel_affine_float_qparams", Role::kHarmless, {}},
    {"torch.serialization", "_get_layout", Role::kHarmless, {}},
    {"_codecs", "encode", Role::kHarmless, {}},
    {"__builtin__", "set", Role::kHarmless, {}},
    {"__builtin__", "complex", Role::kHarmless, {}},
    {"builtins", "set", Role::kHarmless, {}},
    {"builtins", "complex", Role::kHarmless, {}},
};

// Row of a global in the table, or `none`.
std::uint32_t row_of(std::string_view module, std::string_view name, std::uint32_t none) {
  for (std::uint32_t row = 0; row < std::size(kKnownGlobals); ++row) {
    if (kKnownGlobals[row].name == name && kKnownGlobals[row].module == module) return row;
  }
  return none;
}

enum Opcode : unsigned char {
  kProto = 0x80,
  kFrame = 0x95,
  kStop = '.',
  kMark = '(',
  kNoneValue = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kBinFloat = 'G',
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kEmptyDict = '}',
  kEmptyList = ']',
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kSetItem = 's',
  kSetItems = 'u',
  kAppend = 'a',
  kAppends = 'e',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kMemoize = 0x94,
  kBinGet = 'h',
  kLongBinGet = 'j',
  kGlobalName = 'c',
  kStackGlobal = 0x93,
  kReduce = 'R',
  kBuild = 'b',
  kBinPersId = 'Q',
};

}  // namespace

const KnownGlobal* find_global(GlobalRole role, Dtype dtype) {
  for (const KnownGlobal& row : kKnownGlobals) {
    if (row.role == role && row.dtype == dtype) return &row;
  }
  return nullptr;
}

std::int64_t Pickle::integer(Id id) const {
  return static_cast<std::int64_t>(std::uint64_t{values_[id].b} << 32 | values_[id].a);
}

std::string_view Pickle::text(Id id) const {
  return std::string_view(bytes_).substr(values_[id].a, values_[id].b);
}

std::span<const Pickle::Id> Pickle::items(Id id) const {
  return std::span(links_).subspan(values_[id].a, values_[id].b);
}

std::optional<Pickle::Entry> Pickle::next(Cursor& cursor) const {
  while (cursor.run != kNone && cursor.at == runs_[cursor.run].count) {
    cursor = {runs_[cursor.run].next, 0};
  }
  if (cursor.run == kNone) return std::nullopt;
  const std::uint32_t link = runs_[cursor.run].begin + cursor.at;
  cursor.at += 2;
  return Entry{links_[link], links_[link + 1]};
}

const KnownGlobal* Pickle::known(Id id) const {
  return values_[id].a == kNone ? nullptr : &kKnownGlobals[values_[id].a];
}

std::string Pickle::global_name(Id id) const {
  const std::uint32_t link = values_[id].b;
  return printable(text(links_[link])) + "." + printable(text(links_[link + 1]));
}

void refuse_global(const Pickle& pickle, Pickle::Id global, const std::string& label,
                   const std::string& tensor) {
  throw FormatError({label,
                     tensor,
                     "refers to " + pickle.global_name(global) +
                         ", which a state dict "
                         "does not need; nothing was executed",
                     {},
                     "if you trust the file, load it in Python and save only the tensors with "
                     "torch.save(model.state_dict(), FILE)"});
}

/// Runs the opcodes. Every operand is checked against the bytes left, every pop against the mark.
class PickleMachine {
 public:
  PickleMachine(std::string bytes, const std::string& label) : label_(label) {
    pickle_.bytes_ = std::move(bytes);
  }

  Pickle run() {
    require_protocol();
    unsigned char opcode = 0;
    while ((opcode = static_cast<unsigned char>(take(1)[0])) != kStop) {
      if (++opcodes_ > kMaxPickleOpcodes) refuse("over 10 million operations");
      step(opcode);
    }
    if (stack_.size() != 1 || !marks_.empty()) refuse("ends with values left over");
    if (at_ != pickle_.bytes_.size()) refuse("goes on after its end");
    pickle_.root_ = stack_.back();
    return std::move(pickle_);
  }

 private:
  using Id = Pickle::Id;
  using Kind = PickleKind;
  using Value = Pickle::Value;

  // ---- Faults -----------------------------------------------------------------------------------

  // An unknown global explains what comes after it better than the oddity itself does.
  [[noreturn]] void refuse(const std::string& what) {
    if (pickle_.first_unknown_) refuse_global(pickle_, *pickle_.first_unknown_, label_, {});
    throw FormatError({label_,
                       {},
                       "its pickle " + what + " (at byte " + std::to_string(at_) + ")",
                       {},
                       "the file is damaged or hostile; download it again or ask for safetensors"});
  }

  [[noreturn]] void refuse_opcode(unsigned char opcode) {
    char text[8];
    std::snprintf(text, sizeof text, "0x%02X", opcode);
    refuse(std::string("uses operation ") + text + ", which no state dict needs");
  }

  void require_protocol() {
    if (pickle_.bytes_.size() > kMaxPickleBytes) refuse("is larger than 64 MiB");
    const std::string_view start = std::string_view(pickle_.bytes_).substr(0, 2);
    const bool has_protocol = start.size() == 2 && static_cast<unsigned char>(start[0]) == kProto;
    const int protocol = has_protocol ? static_cast<unsigned char>(start[1]) : 0;
    if (protocol < 2 || protocol > 5) {
      throw FormatError({label_,
                         {},
                         has_protocol ? "pickle protocol " + std::to_string(protocol)
                                      : "pickle protocol 0 or 1, or no pickle at all",
                         "protocol 2 to 5",
                         "save it again with torch.save and its usual protocol"});
    }
    at_ = 2;
  }

  // ---- Operands ---------------------------------------------------------------------------------

  std::string_view take(std::size_t count) {
    if (pickle_.bytes_.size() - at_ < count) refuse("ends in the middle of a value");
    const auto taken = std::string_view(pickle_.bytes_).substr(at_, count);
    at_ += count;
    return taken;
  }

  std::uint64_t take_integer(std::size_t bytes) {
    const std::string_view text = take(bytes);
    std::uint64_t value = 0;
    for (std::size_t i = bytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(text[i]);
    return value;
  }

  std::string_view take_line() {
    const std::size_t end = pickle_.bytes_.find('\n', at_);
    if (end == std::string::npos) refuse("ends in the middle of a name");
    const std::string_view line = take(end - at_);
    ++at_;
    return line;
  }

  // ---- Stack ------------------------------------------------------------------------------------

  // First stack position that operations may touch.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  Id add(const Value& value) {
    if (pickle_.values_.size() == kMaxPickleValues) refuse("holds over 4 million values");
    pickle_.values_.push_back(value);
    return static_cast<Id>(pickle_.values_.size() - 1);
  }

  void push_id(Id id) {
    if (stack_.size() == kMaxPickleStack) refuse("keeps over a million values waiting");
    stack_.push_back(id);
  }

  void push(const Value& value) { push_id(add(value)); }

  Id top() {
    if (stack_.size() <= floor()) refuse("takes a value from an empty stack");
    return stack_.back();
  }

  Id pop() {
    const Id id = top();
    stack_.pop_back();
    return id;
  }

  Value& value(Id id) { return pickle_.values_[id]; }

  // Takes everything above the last mark off the stack, and the mark too. Valid until the next
  // call.
  std::span<const Id> pop_to_mark() {
    if (marks_.empty()) refuse("ends a group that it did not begin");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    group_.assign(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return group_;
  }

  void mark() {
    if (marks_.size() == kMaxPickleDepth) refuse("nests over 64 levels deep");
    marks_.push_back(stack_.size());
  }

  // Depth of a container that holds `items` besides what it already holds.
  std::uint8_t depth_with(std::uint8_t depth, std::span<const Id> items) {
    for (const Id id : items) {
      if (value(id).depth >= kMaxPickleDepth) refuse("nests over 64 levels deep");
      depth = std::max<std::uint8_t>(depth, static_cast<std::uint8_t>(value(id).depth + 1));
    }
    return depth;
  }

  std::uint32_t link(std::span<const Id> items) {
    const auto begin = static_cast<std::uint32_t>(pickle_.links_.size());
    pickle_.links_.insert(pickle_.links_.end(), items.begin(), items.end());
    return begin;
  }

  // ---- Values -----------------------------------------------------------------------------------

  void push_int(std::int64_t number) {
    const auto bits = static_cast<std::uint64_t>(number);
    push({Kind::kInt, 0, false, static_cast<std::uint32_t>(bits),
          static_cast<std::uint32_t>(bits >> 32)});
  }

  // A two's complement number of any length; one that 64 bits cannot hold is of no interest.
  void push_long(std::size_t bytes) {
    if (bytes > 8) {
      take(bytes);
      return push({});
    }
    std::uint64_t bits = take_integer(bytes);
    const bool negative = bytes > 0 && (bits >> (8 * bytes - 1) & 1) != 0;
    if (negative && bytes < 8) bits |= ~std::uint64_t{0} << (8 * bytes);
    push_int(static_cast<std::int64_t>(bits));
  }

  Value text_value(std::string_view text) {
    const auto begin = static_cast<std::uint32_t>(text.data() - pickle_.bytes_.data());
    return {Kind::kText, 0, false, begin, static_cast<std::uint32_t>(text.size())};
  }

  void push_tuple(std::span<const Id> items) {
    const std::uint8_t depth = depth_with(1, items);
    const std::uint32_t begin = link(items);
    push({Kind::kTuple, depth, false, begin, static_cast<std::uint32_t>(items.size())});
  }

  void push_short_tuple(std::size_t count) {
    if (stack_.size() - floor() < count) refuse("takes a value from an empty stack");
    std::array<Id, 3> items{};
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    push_tuple(std::span(items).first(count));
  }

  void push_dict() { push({Kind::kDict, 1, false, Pickle::kNone, Pickle::kNone}); }

  void put_entries(std::span<const Id> items) {
    Value& dict = value(top());
    if (dict.kind != Kind::kDict) refuse("puts entries into what is no dictionary");
    if (items.size() % 2 != 0) refuse("puts a key without a value into a dictionary");
    for (std::size_t i = 0; i < items.size(); i += 2) require_hashable(items[i]);
    if (items.empty()) return;
    dict.depth = depth_with(dict.depth, items);
    const auto run = static_cast<std::uint32_t>(pickle_.runs_.size());
    const std::uint32_t begin = link(items);
    pickle_.runs_.push_back({begin, static_cast<std::uint32_t>(items.size()), Pickle::kNone});
    (dict.a == Pickle::kNone ? dict.a : pickle_.runs_[dict.b].next) = run;
    dict.b = run;
  }

  void require_hashable(Id key) {
    if (value(key).kind == Kind::kDict || value(key).is_list) {
      refuse("uses a dictionary or a list as a key");
    }
  }

  void append(std::span<const Id> items) {
    Value& list = value(top());
    if (!list.is_list) refuse("appends to what is no list");
    list.depth = depth_with(list.depth, items);
  }

  void set_item() {
    const Id item = pop(), key = pop();
    put_entries(std::array{key, item});
  }

  // ---- Memo -------------------------------------------------------------------------------------

  void put(std::uint64_t index) {
    if (index >= opcodes_) refuse("remembers values under numbers out of sequence");
    if (index >= memo_.size()) memo_.resize(index + 1, Pickle::kNone);
    memo_[index] = top();
    memo_end_ = std::max(memo_end_, index + 1);
  }

  void get(std::uint64_t index) {
    if (index >= memo_.size() || memo_[index] == Pickle::kNone) {
      refuse("recalls a value that it did not remember");
    }
    push_id(memo_[index]);
  }

  // ---- Globals and calls ------------------------------------------------------------------------

  void push_global(Id module, Id name) {
    const std::uint32_t row = row_of(pickle_.text(module), pickle_.text(name), Pickle::kNone);
    const std::uint32_t names = link(std::array{module, name});
    push({Kind::kGlobal, 0, false, row, names});
    if (row == Pickle::kNone && !pickle_.first_unknown_) pickle_.first_unknown_ = stack_.back();
  }

  void read_global() {
    const Id module = add(text_value(take_line()));
    push_global(module, add(text_value(take_line())));
  }

  void stack_global() {
    const Id name = pop(), module = pop();
    if (value(name).kind != Kind::kText || value(module).kind != Kind::kText) {
      refuse("refers to a global whose name is no text");
    }
    push_global(module, name);
  }

  bool is_ordered_dict(Id global) const {
    const KnownGlobal* known = pickle_.known(global);
    return known != nullptr && known->role == Role::kOrderedDict;
  }

  void reduce() {
    const Id arguments = pop(), callable = pop();
    if (value(callable).kind != Kind::kGlobal) refuse("calls what is no function");
    if (value(arguments).kind != Kind::kTuple) refuse("calls a function without arguments");
    if (is_ordered_dict(callable)) {
      if (value(arguments).b != 0) refuse("fills an OrderedDict in an outdated way");
      return push_dict();
    }
    const std::uint8_t depth = depth_with(1, std::array{arguments});
    push({Kind::kCall, depth, false, callable, arguments});
  }

  // Attributes of an object: `_metadata` of a state dict. They are of no interest, but attributes
  // of a tensor could change what it is.
  void build() {
    const Id state = pop(), object = top();
    const bool unknown_call =
        value(object).kind == Kind::kCall && pickle_.known(value(object).a) == nullptr;
    if (value(object).kind != Kind::kDict && !unknown_call) refuse("sets attributes of a value");
    if (value(state).kind != Kind::kDict) refuse("sets attributes from what is no dictionary");
  }

  void push_persistent() {
    const Id id = pop();
    const std::uint8_t depth = depth_with(1, std::array{id});
    push({Kind::kPersistent, depth, false, id, 0});
  }

  // A frame says how many bytes belong together, which matters only to readers of streams.
  void skip_frame() {
    if (take_integer(8) > pickle_.bytes_.size() - at_) refuse("has a frame longer than itself");
  }

  void step(unsigned char opcode) {
    switch (opcode) {
      case kFrame:
        return skip_frame();
      case kMark:
        return mark();
      case kNoneValue:
        return push({});
      case kNewTrue:
        return push({Kind::kBool, 0, false, 1, 0});
      case kNewFalse:
        return push({Kind::kBool, 0, false, 0, 0});
      case kBinInt:
        return push_long(4);
      case kBinInt1:
        return push_int(static_cast<std::int64_t>(take_integer(1)));
      case kBinInt2:
        return push_int(static_cast<std::int64_t>(take_integer(2)));
      case kLong1:
        return push_long(take_integer(1));
      case kBinFloat:
        return take(8), push({});
      case kBinUnicode:
        return push(text_value(take(take_integer(4))));
      case kShortBinUnicode:
        return push(text_value(take(take_integer(1))));
      case kBinBytes:
        return take(take_integer(4)), push({});
      case kShortBinBytes:
        return take(take_integer(1)), push({});
      case kEmptyDict:
        return push_dict();
      case kEmptyList:
        return push({Kind::kOther, 1, true, 0, 0});
      case kEmptyTuple:
        return push_tuple({});
      case kTuple:
        return push_tuple(pop_to_mark());
      case kTuple1:
        return push_short_tuple(1);
      case kTuple2:
        return push_short_tuple(2);
      case kTuple3:
        return push_short_tuple(3);
      case kSetItem:
        return set_item();
      case kSetItems:
        return put_entries(pop_to_mark());
      case kAppend:
        return append(std::array{pop()});
      case kAppends:
        return append(pop_to_mark());
      case kBinPut:
        return put(take_integer(1));
      case kLongBinPut:
        return put(take_integer(4));
      case kMemoize:
        return put(memo_end_);
      case kBinGet:
        return get(take_integer(1));
      case kLongBinGet:
        return get(take_integer(4));
      case kGlobalName:
        return read_global();
      case kStackGlobal:
        return stack_global();
      case kReduce:
        return reduce();
      case kBuild:
        return build();
      case kBinPersId:
        return push_persistent();
      default:
        refuse_opcode(opcode);
    }
  }

  const std::string& label_;
  Pickle pickle_;
  std::size_t at_ = 0;
  std::uint32_t opcodes_ = 0;
  std::vector<Id> stack_;
  std::vector<std::size_t> marks_;
  std::vector<Id> group_;
  std::vector<Id> memo_;
  std::uint64_t memo_end_ = 0;
};

Pickle parse_pickle(std::string bytes, const std::string& label) {
  return PickleMachine(std::move(bytes), label).run();
}

}  // namespace suture::format
