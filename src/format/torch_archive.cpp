#include "format/torch_archive.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "suture/error.h"

#include "format/pickle.h"
#include "format/zip.h"

namespace suture::format {
namespace {

using Id = Pickle::Id;
using Role = GlobalRole;

constexpr std::size_t kMaxRank = 64;
constexpr std::size_t kMaxTensors = 1'000'000;
constexpr std::size_t kMaxNameBytes = 64u << 20;  // Of all names together.
constexpr const char* kDamaged = "the file is damaged or hostile; download it again";
constexpr const char* kSaveDense =
    "in Python, replace it by a plain dense tensor (.dequantize(), .to_dense() or .clone()) and "
    "save "
    "again";
constexpr const char* kResolve = "in Python, save tensor.resolve_conj().resolve_neg() instead";
constexpr const char* kConvert = "in Python, convert it with tensor.to(dtype) and save again";
constexpr const char* kSaveAgain =
    "re-save it with torch.save(torch.load(FILE, weights_only=True), FILE)";

// ---- Which values are tensors -------------------------------------------------------------------

// Role of the global that a call names; nothing for other values and for unknown globals.
std::optional<Role> role_of_call(const Pickle& pickle, Id id) {
  if (pickle.kind(id) != PickleKind::kCall) return std::nullopt;
  const KnownGlobal* known = pickle.known(pickle.callable(id));
  return known == nullptr ? std::nullopt : std::optional(known->role);
}

bool is_tensor(const Pickle& pickle, Id id) {
  const auto role = role_of_call(pickle, id);
  return role == Role::kRebuildTensor || role == Role::kRebuildTensorWithDtype ||
         role == Role::kRebuildParameter || role == Role::kUnsupportedTensor;
}

// A value that stands for something made by a global which is not known.
bool is_unknown(const Pickle& pickle, Id id) {
  if (pickle.kind(id) == PickleKind::kCall) id = pickle.callable(id);
  return pickle.kind(id) == PickleKind::kGlobal && pickle.known(id) == nullptr;
}

struct NamedTensor {
  std::string name;
  Id call;
};

// Finds the tensors in nested dictionaries. The way down is kept in a list, so depth costs no
// stack.
class StateDictWalk {
 public:
  StateDictWalk(const Pickle& pickle, const std::string& file) : pickle_(pickle), file_(file) {}

  std::vector<NamedTensor> run() {
    enter(find_state_dict(), {});
    while (!open_.empty()) {
      if (const auto entry = pickle_.next(open_.back().cursor)) {
        visit(*entry);
      } else {
        path_.resize(open_.back().path_bytes);
        open_.pop_back();
      }
    }
    return std::move(found_);
  }

 private:
  struct Level {
    Pickle::Cursor cursor;
    std::size_t path_bytes;  // Length of the path above this level.
  };

  [[noreturn]] void refuse(std::string found, std::string expected = {}, std::string remedy = {}) {
    const std::string here = path_.substr(0, path_.empty() ? 0 : path_.size() - 1);
    throw FormatError({file_, here, std::move(found), std::move(expected), std::move(remedy)});
  }

  // The dictionary of tensors: the root, or what trainers keep under these keys next to an
  // optimizer.
  Id find_state_dict() {
    const Id root = pickle_.root();
    if (is_tensor(pickle_, root)) {
      refuse("a bare tensor", "a dictionary of named tensors",
             "in Python, save it under a name: torch.save({'weight': tensor}, FILE)");
    }
    if (is_unknown(pickle_, root)) refuse_unknown(root, {});
    if (pickle_.kind(root) != PickleKind::kDict) {
      refuse("no dictionary of named tensors", "a state dict",
             "in Python, save it with torch.save(model.state_dict(), FILE)");
    }
    if (has_tensor(root)) return root;
    for (const std::string_view key : {"state_dict", "model"}) {
      if (const auto nested = find_dict(root, key)) return *nested;
    }
    return root;
  }

  bool has_tensor(Id dict) const {
    auto cursor = pickle_.entries(dict);
    while (const auto entry = pickle_.next(cursor)) {
      if (is_tensor(pickle_, entry->value)) return true;
    }
    return false;
  }

  std::optional<Id> find_dict(Id dict, std::string_view key) {
    std::optional<Id> found;
    auto cursor = pickle_.entries(dict);
    while (const auto entry = pickle_.next(cursor)) {
      if (pickle_.kind(entry->key) != PickleKind::kText || pickle_.text(entry->key) != key)
        continue;
      if (found) refuse("key '" + std::string(key) + "' twice in one dictionary", {}, kDamaged);
      if (pickle_.kind(entry->value) == PickleKind::kDict) found = entry->value;
    }
    return found;
  }

  void enter(Id dict, std::string_view key) {
    if (open_.size() == kMaxPickleDepth) refuse("dictionaries nested over 64 levels deep");
    open_.push_back({pickle_.entries(dict), path_.size()});
    if (open_.size() == 1) return;
    path_ += key;
    path_ += '.';
  }

  void visit(const Pickle::Entry& entry) {
    // A dictionary may be reached on many ways, so entries seen are counted, not entries stored.
    if (++visited_ > kMaxPickleOpcodes) refuse("over 10 million entries", {}, kDamaged);
    const bool nested = pickle_.kind(entry.value) == PickleKind::kDict;
    const bool tensor = is_tensor(pickle_, entry.value);
    const bool unknown = is_unknown(pickle_, entry.value);
    if (!nested && !tensor && !unknown) return;
    const std::string key = text_of_key(entry.key);
    spend(path_.size() + key.size());
    if (unknown) refuse_unknown(entry.value, key);
    if (nested) return enter(entry.value, key);
    record(path_ + key, entry.value);
  }

  std::string text_of_key(Id key) {
    if (pickle_.kind(key) == PickleKind::kText) return std::string(pickle_.text(key));
    if (pickle_.kind(key) == PickleKind::kInt) return std::to_string(pickle_.integer(key));
    refuse("a tensor or a dictionary under a key that is neither text nor a whole number");
  }

  [[noreturn]] void refuse_unknown(Id value, const std::string& key) {
    if (pickle_.kind(value) == PickleKind::kCall) value = pickle_.callable(value);
    refuse_global(pickle_, value, file_, path_ + key);
  }

  // A long key can be stored once and used often, so what names cost in all is bounded.
  void spend(std::size_t name_bytes) {
    name_bytes_ += name_bytes;
    if (name_bytes_ > kMaxNameBytes) refuse("over 64 MiB of names", {}, kDamaged);
  }

  void record(std::string name, Id call) {
    if (found_.size() == kMaxTensors) refuse("over 1000000 tensors", {}, kDamaged);
    found_.push_back({std::move(name), call});
  }

  const Pickle& pickle_;
  const std::string& file_;
  std::vector<Level> open_;
  std::string path_;
  std::vector<NamedTensor> found_;
  std::size_t name_bytes_ = 0;
  std::uint64_t visited_ = 0;
};

// ---- One tensor ---------------------------------------------------------------------------------

struct Storage {
  const ZipEntry* record = nullptr;
  const KnownGlobal* type = nullptr;
};

bool is_dense(const TensorInfo& tensor) {
  std::int64_t expected = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];  // Cannot overflow: the product of the shape does not.
  }
  return true;
}

// Turns the arguments of a rebuild function into a description whose every number is checked.
class TensorReader {
 public:
  TensorReader(const Pickle& pickle, const ZipArchive& archive, const std::string& file)
      : pickle_(pickle), archive_(archive), file_(file) {}

  TensorInfo read(const NamedTensor& named) {
    name_ = &named.name;
    const Id call = unwrap(named.call);
    const bool with_dtype = role_of_call(pickle_, call) == Role::kRebuildTensorWithDtype;
    const auto arguments = pickle_.items(pickle_.arguments(call));
    const std::size_t required = with_dtype ? 7 : 6;  // One more is optional.
    if (arguments.size() != required && arguments.size() != required + 1) {
      refuse("rebuilt from " + std::to_string(arguments.size()) + " values");
    }
    if (arguments.size() > required) require_plain(arguments[required]);

    const Storage storage = read_storage(arguments[0]);
    TensorInfo tensor;
    tensor.name = named.name;
    tensor.dtype = with_dtype ? named_dtype(storage, arguments[6]) : storage_dtype(storage);
    tensor.shape = read_integers(arguments[2], "shape");
    tensor.strides = read_integers(arguments[3], "strides");
    place(tensor, *storage.record, read_integer(arguments[1], "offset"));
    return tensor;
  }

 private:
  [[noreturn]] void refuse(std::string found, std::string expected = {},
                           std::string remedy = kDamaged) const {
    throw FormatError({file_, *name_, std::move(found), std::move(expected), std::move(remedy)});
  }

  // The call that rebuilds the tensor itself, below any wrappers. Wrappers are nested in argument
  // tuples, whose depth the pickle's reader has bounded.
  Id unwrap(Id call) const {
    while (role_of_call(pickle_, call) == Role::kRebuildParameter) {
      const auto arguments = pickle_.items(pickle_.arguments(call));
      if (arguments.empty()) refuse("a parameter without data");
      call = arguments[0];
    }
    if (!is_tensor(pickle_, call)) refuse("a parameter whose data is no tensor");
    if (role_of_call(pickle_, call) == Role::kUnsupportedTensor) {
      refuse("made by " + pickle_.global_name(pickle_.callable(call)),
             "a plain dense tensor (not sparse, quantised, on the meta device, or a subclass)",
             kSaveDense);
    }
    return call;
  }

  // Metadata such as `conj` says that the values are not the stored ones.
  void require_plain(Id metadata) const {
    if (pickle_.kind(metadata) != PickleKind::kDict) {
      if (pickle_.kind(metadata) == PickleKind::kOther) return;
      refuse("metadata that is no dictionary");
    }
    auto cursor = pickle_.entries(metadata);
    while (const auto entry = pickle_.next(cursor)) {
      const bool off =
          pickle_.kind(entry->value) == PickleKind::kBool && !pickle_.is_true(entry->value);
      if (!off)
        refuse("a view that changes the stored values (conjugated or negated)", {}, kResolve);
    }
  }

  // ("storage", class, key, location, number of elements)
  Storage read_storage(Id id) {
    if (pickle_.kind(id) != PickleKind::kPersistent) refuse("without a storage");
    const Id reference = pickle_.persistent_id(id);
    if (pickle_.kind(reference) != PickleKind::kTuple) refuse("a storage of an unknown form");
    const auto parts = pickle_.items(reference);
    if (parts.size() != 5 || pickle_.kind(parts[0]) != PickleKind::kText ||
        pickle_.text(parts[0]) != "storage" || pickle_.kind(parts[1]) != PickleKind::kGlobal ||
        pickle_.kind(parts[2]) != PickleKind::kText) {
      refuse("a storage of an unknown form");
    }
    const Storage storage{find_record(pickle_.text(parts[2])), storage_type(parts[1])};
    require_size(storage, read_integer(parts[4], "storage size"));
    require_one_type(storage);
    return storage;
  }

  const KnownGlobal* storage_type(Id global) const {
    const KnownGlobal* type = pickle_.known(global);
    const bool typed = type != nullptr && type->role == Role::kStorage;
    const bool untyped = type != nullptr && type->role == Role::kUntypedStorage;
    if (!typed && !untyped) refuse("storage class " + pickle_.global_name(global));
    if (typed && !type->dtype) {
      refuse("elements of " + pickle_.global_name(global), "a type that safetensors has", kConvert);
    }
    return type;
  }

  const ZipEntry* find_record(std::string_view key) const {
    const bool digits = !key.empty() && key.size() <= 20 &&
                        key.find_first_not_of("0123456789") == std::string_view::npos;
    if (!digits) refuse("storage key '" + printable(key) + "'", "a number");
    const ZipEntry* record = archive_.find("data/" + std::string(key));
    if (record == nullptr) refuse("its storage record 'data/" + std::string(key) + "' is missing");
    if (record->compressed) {
      refuse("its storage record 'data/" + std::string(key) + "' is compressed", "stored as is",
             kSaveAgain);
    }
    return record;
  }

  void require_size(const Storage& storage, std::int64_t elements) const {
    const int element_bytes = storage.type->dtype ? bytes_of(*storage.type->dtype) : 1;
    std::uint64_t bytes = 0;
    if (elements < 0 || __builtin_mul_overflow(static_cast<std::uint64_t>(elements),
                                               static_cast<std::uint64_t>(element_bytes), &bytes)) {
      refuse("a storage of " + std::to_string(elements) + " elements");
    }
    if (bytes == storage.record->size) return;
    refuse("its storage record holds " + std::to_string(storage.record->size) + " bytes",
           std::to_string(bytes), "the file is cut short, damaged or hostile; download it again");
  }

  // torch itself refuses to save one storage as two types.
  void require_one_type(const Storage& storage) {
    if (types_.try_emplace(storage.record, storage.type).first->second == storage.type) return;
    refuse("its storage is also declared with another element type");
  }

  Dtype storage_dtype(const Storage& storage) const {
    if (!storage.type->dtype) refuse("an untyped storage and no element type");
    return *storage.type->dtype;
  }

  Dtype named_dtype(const Storage& storage, Id global) const {
    if (storage.type->role != Role::kUntypedStorage) refuse("an element type beside its storage's");
    const bool is_global = pickle_.kind(global) == PickleKind::kGlobal;
    const KnownGlobal* type = is_global ? pickle_.known(global) : nullptr;
    if (type == nullptr || type->role != Role::kDtype) refuse("an element type that is none");
    if (!type->dtype) {
      refuse("elements of " + pickle_.global_name(global), "a type that safetensors has", kConvert);
    }
    return *type->dtype;
  }

  std::int64_t read_integer(Id id, const char* what) const {
    if (pickle_.kind(id) != PickleKind::kInt)
      refuse(std::string(what) + " that is no whole number");
    return pickle_.integer(id);
  }

  std::vector<std::int64_t> read_integers(Id id, const char* what) const {
    if (pickle_.kind(id) != PickleKind::kTuple) refuse(std::string(what) + " that is no tuple");
    const auto items = pickle_.items(id);
    if (items.size() > kMaxRank) {
      refuse(std::to_string(items.size()) + " dimensions", "at most " + std::to_string(kMaxRank));
    }
    std::vector<std::int64_t> numbers;
    for (const Id item : items) {
      numbers.push_back(read_integer(item, what));
      if (numbers.back() < 0) {
        refuse(std::string(what) + " with the negative number " + std::to_string(numbers.back()));
      }
    }
    return numbers;
  }

  // Fills in counts and position, once all elements are known to be inside the record.
  void place(TensorInfo& tensor, const ZipEntry& record, std::int64_t offset) const {
    if (tensor.shape.size() != tensor.strides.size()) {
      refuse(std::to_string(tensor.strides.size()) + " strides for " +
             std::to_string(tensor.shape.size()) + " dimensions");
    }
    // Of 4-bit floats torch counts pairs.
    const bool is_pairs = tensor.dtype == Dtype::kF4;
    const std::uint64_t element_bytes =
        is_pairs ? 1 : static_cast<std::uint64_t>(bytes_of(tensor.dtype));
    tensor.elements = count_elements(tensor.shape);
    require_inside(tensor, offset, record.size / element_bytes);
    tensor.bytes = tensor.elements * element_bytes;  // At most the record's size.
    tensor.offset = record.offset + static_cast<std::uint64_t>(offset) * element_bytes;
    if (tensor.elements == 0 || is_dense(tensor)) tensor.strides.clear();
    if (is_pairs) count_halves(tensor);
  }

  void count_halves(TensorInfo& tensor) const {
    if (tensor.shape.empty() || !tensor.strides.empty())
      refuse("4-bit floats that are not dense in a last dimension", {}, kSaveDense);
    if (tensor.shape.back() > std::numeric_limits<std::int64_t>::max() / 2)
      refuse("shape " + to_string(tensor.shape), "fewer than 2^63 elements");
    tensor.shape.back() *= 2;
    tensor.elements *= 2;  // In bytes it was at most the record's size.
  }

  std::uint64_t count_elements(const std::vector<std::int64_t>& shape) const {
    std::int64_t product = 1;
    for (const std::int64_t size : shape) {
      if (__builtin_mul_overflow(product, size, &product)) {
        refuse("shape " + to_string(shape), "fewer than 2^63 elements");
      }
    }
    return static_cast<std::uint64_t>(product);
  }

  void require_inside(const TensorInfo& tensor, std::int64_t offset,
                      std::uint64_t available) const {
    bool inside = offset >= 0 && static_cast<std::uint64_t>(offset) <= available;
    if (inside && tensor.elements > 0) {
      std::int64_t last = offset, span = 0;
      for (std::size_t i = 0; i < tensor.shape.size() && inside; ++i) {
        inside = !__builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &span) &&
                 !__builtin_add_overflow(last, span, &last);
      }
      inside = inside && static_cast<std::uint64_t>(last) < available;
    }
    if (!inside) {
      refuse("shape " + to_string(tensor.shape) + " with strides " + to_string(tensor.strides) +
                 " from element " + std::to_string(offset),
             "a range inside its storage of " + std::to_string(available) + " elements");
    }
    // Repeats let a tiny file stand for any amount of output.
    if (tensor.elements > available) {
      refuse("shape " + to_string(tensor.shape) + " repeats a storage of " +
                 std::to_string(available) + " elements (an expanded view)",
             {}, kSaveDense);
    }
  }

  const Pickle& pickle_;
  const ZipArchive& archive_;
  const std::string& file_;
  const std::string* name_ = nullptr;
  std::unordered_map<const ZipEntry*, const KnownGlobal*> types_;
};

// ---- The whole file -----------------------------------------------------------------------------

[[noreturn]] void refuse_other_format(const File& file) {
  std::string start(std::min<std::uint64_t>(file.size(), 512), '\0');
  file.read(0, start.data(), start.size());
  constexpr std::string_view kLegacyMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
  const bool legacy = start.substr(0, 64).find(kLegacyMagic) != std::string::npos;
  const bool tar = start.size() > 262 && start.compare(257, 5, "ustar") == 0;
  std::string remedy;
  if (legacy || tar) {
    remedy = kSaveAgain;
  } else if (start.starts_with("version https://git-lfs")) {
    remedy = "this is a git-lfs pointer; fetch the file itself with git lfs pull";
  }
  throw FormatError({file.path().string(),
                     {},
                     legacy ? "written in the format of torch before 1.6"
                     : tar  ? "a tar archive, the format of torch before 0.4"
                            : "not a file that torch.save wrote",
                     "a zip archive",
                     remedy});
}

std::string read_record(const File& file, const ZipEntry& record, std::size_t limit) {
  if (record.compressed) {
    throw FormatError({file.path().string(),
                       {},
                       "zip record '" + printable(record.name) + "' is compressed",
                       "stored as is",
                       kSaveAgain});
  }
  std::string bytes(std::min<std::uint64_t>(record.size, limit), '\0');
  file.read(record.offset, bytes.data(), bytes.size());
  return bytes;
}

void require_little_endian(const File& file, const ZipArchive& archive) {
  const ZipEntry* record = archive.find("byteorder");
  if (record == nullptr) return;  // Not written before torch 2.1, always little-endian in practice.
  const std::string order = read_record(file, *record, 16);
  if (order == "little") return;
  throw FormatError({file.path().string(),
                     {},
                     "byte order '" + printable(order) + "'",
                     "little",
                     "save it again with torch.save on a little-endian machine"});
}

Pickle read_pickle(const File& file, const ZipArchive& archive) {
  const ZipEntry* record = archive.find("data.pkl");
  if (record == nullptr) {
    throw FormatError({file.path().string(),
                       {},
                       "a zip archive without '" + printable(archive.root()) + "/data.pkl'",
                       "what torch.save writes",
                       {}});
  }
  // One byte over the limit is enough for the parser to see that it is exceeded.
  return parse_pickle(read_record(file, *record, kMaxPickleBytes + 1), file.path().string());
}

void require_distinct(const std::vector<NamedTensor>& tensors, const std::string& file) {
  std::unordered_set<std::string_view> seen;
  for (const NamedTensor& tensor : tensors) {
    if (!seen.insert(tensor.name).second) {
      throw FormatError({file, tensor.name, "there twice", "each name once", kDamaged});
    }
  }
}

}  // namespace

std::vector<TensorInfo> read_torch_archive(const File& file) {
  if (!looks_like_zip(file)) refuse_other_format(file);
  const std::string path = file.path().string();
  const ZipArchive archive = ZipArchive::open(file);
  require_little_endian(file, archive);
  const Pickle pickle = read_pickle(file, archive);
  const std::vector<NamedTensor> named = StateDictWalk(pickle, path).run();
  require_distinct(named, path);

  TensorReader reader(pickle, archive, path);
  std::vector<TensorInfo> tensors;
  tensors.reserve(named.size());
  for (const NamedTensor& tensor : named) tensors.push_back(reader.read(tensor));
  // Last, because a fault that names the tensor says more.
  if (pickle.first_unknown()) refuse_global(pickle, *pickle.first_unknown(), path, {});
  return tensors;
}

bool looks_like_zip(const File& file) {
  std::array<char, 4> magic{};
  if (file.size() < magic.size()) return false;
  file.read(0, magic.data(), magic.size());
  const std::string_view start(magic.data(), magic.size());
  // A record's header, or the end record of an archive without records.
  return start == "PK\x03\x04" || start == "PK\x05\x06";
}

}  // namespace suture::format
