#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "suture/dtype.h"

namespace suture::format {

inline constexpr std::size_t kMaxPickleBytes = 64u << 20;
inline constexpr std::uint32_t kMaxPickleOpcodes = 10'000'000;
inline constexpr std::uint32_t kMaxPickleValues = 4'000'000;
inline constexpr std::uint32_t kMaxPickleStack = 1'000'000;
inline constexpr int kMaxPickleDepth = 64;

/// What a name that a pickle refers to means to Suture. A name is never looked up or called.
enum class GlobalRole : std::uint8_t {
  kOrderedDict,
  kRebuildTensor,           ///< torch._utils._rebuild_tensor_v2
  kRebuildTensorWithDtype,  ///< torch._utils._rebuild_tensor_v3
  kRebuildParameter,        ///< A tensor in a wrapper that adds nothing to its data.
  kStorage,                 ///< A storage class that says its element type.
  kUntypedStorage,
  kDtype,
  kUnsupportedTensor,  ///< Makes a tensor of a kind that cannot be read.
  kHarmless,           ///< Makes values that are no tensors.
};

/// One row of the table of known globals.
struct KnownGlobal {
  std::string_view module, name;
  GlobalRole role;
  std::optional<Dtype> dtype;  ///< For storages and dtypes that safetensors has too.
};

/// The table's first row of that role for that dtype, or nullptr.
const KnownGlobal* find_global(GlobalRole role, Dtype dtype);

/// What a pickled value is.
enum class PickleKind : std::uint8_t {
  kOther,  ///< Without interest: None, floats, bytes, integers over 64 bits, lists.
  kBool,
  kInt,
  kText,
  kTuple,
  kDict,        ///< A dict or an OrderedDict.
  kGlobal,      ///< A name of something in Python.
  kCall,        ///< "Call this global with these arguments"; nothing is called.
  kPersistent,  ///< A reference to something outside the pickle.
};

/// A pickle taken apart into plain values, which refer to each other by number.
class Pickle {
 public:
  using Id = std::uint32_t;
  struct Entry {
    Id key, value;
  };
  /// A position among a dict's entries.
  struct Cursor {
    std::uint32_t run, at;
  };

  Id root() const { return root_; }
  PickleKind kind(Id id) const { return values_[id].kind; }
  bool is_true(Id id) const { return values_[id].a != 0; }    ///< Of a kBool.
  std::int64_t integer(Id id) const;                          ///< Of a kInt.
  std::string_view text(Id id) const;                         ///< Of a kText.
  std::span<const Id> items(Id id) const;                     ///< Of a kTuple.
  Id callable(Id id) const { return values_[id].a; }          ///< Of a kCall: a kGlobal.
  Id arguments(Id id) const { return values_[id].b; }         ///< Of a kCall: a kTuple.
  Id persistent_id(Id id) const { return values_[id].a; }     ///< Of a kPersistent.
  Cursor entries(Id id) const { return {values_[id].a, 0}; }  ///< Of a kDict, in written order.

  /// The entry at the cursor, which moves on; nothing after the last one.
  std::optional<Entry> next(Cursor& cursor) const;

  /// The table row of a kGlobal; nullptr for an unknown one.
  const KnownGlobal* known(Id id) const;

  /// `module.name` of a kGlobal, made printable and short.
  std::string global_name(Id id) const;

  /// The first global that is not in the table. Its caller must refuse the pickle.
  std::optional<Id> first_unknown() const { return first_unknown_; }

 private:
  friend class PickleMachine;

  // `a` and `b` by kind: text: begin and length in `bytes_`; tuple: begin and length in `links_`;
  // dict: first and last run; global: table row and the link to module and name; int: low and high
  // half.
  struct Value {
    PickleKind kind = PickleKind::kOther;
    std::uint8_t depth = 0;  // Levels of containers below and including this one.
    bool is_list = false;    // Lists can be appended to; what they hold is dropped.
    std::uint32_t a = 0, b = 0;
  };
  // Keys and values that one opcode put into a dict.
  struct Run {
    std::uint32_t begin, count, next;
  };
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  std::string bytes_;
  std::vector<Value> values_;
  std::vector<Id> links_;
  std::vector<Run> runs_;
  Id root_ = 0;
  std::optional<Id> first_unknown_;
};

/// Takes a pickle apart without executing it: no global is imported, no callable called. Understood
/// is the small part of protocols 2 to 5 that state dicts need; every other opcode is refused.
/// Values are kept flat and nothing recurses. At most 64 MiB, 10 M opcodes, 4 M values, 1 M of them
/// on the stack, and 64 levels of nesting; a length is compared with the bytes left before use; a
/// memo index may not exceed the opcodes run. `label` names the pickle in errors. Throws
/// FormatError.
Pickle parse_pickle(std::string bytes, const std::string& label);

/// The refusal of an unknown global, which names it and where known the tensor it makes.
[[noreturn]] void refuse_global(const Pickle& pickle, Pickle::Id global, const std::string& label,
                                const std::string& tensor);

}  // namespace suture::format
