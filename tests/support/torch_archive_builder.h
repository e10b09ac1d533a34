#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace suture::test {

/// `value` as `bytes` bytes, lowest first; zeros above the eighth.
inline std::string little_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += i < 8 ? static_cast<char>(value >> (8 * i) & 0xFF) : '\0';
  return out;
}

/// Replaces the bytes at `at` by `value` in `bytes` bytes.
inline void poke(std::string& text, std::size_t at, std::uint64_t value, int bytes) {
  if (at + static_cast<std::size_t>(bytes) > text.size()) throw std::out_of_range("poke");
  text.replace(at, static_cast<std::size_t>(bytes), little_endian(value, bytes));
}

/// Pieces of pickles, in the opcodes that Python's protocol 2 uses. They nest: every piece leaves
/// one value on the stack.
namespace pickled {

inline const std::string kNone = "N";
inline const std::string kTrue = "\x88";
inline const std::string kFalse = "\x89";

/// A whole pickle with `value` as its result.
inline std::string document(const std::string& value, int protocol = 2) {
  return "\x80" + little_endian(static_cast<std::uint64_t>(protocol), 1) + value + ".";
}

inline std::string text(std::string_view text) {
  return "X" + little_endian(text.size(), 4) + std::string(text);
}

inline std::string integer(std::int64_t value) {
  return "\x8a\x08" + little_endian(static_cast<std::uint64_t>(value), 8);
}

inline std::string concatenated(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values) out += value;
  return out;
}

inline std::string tuple(const std::vector<std::string>& values) {
  return "(" + concatenated(values) + "t";
}

inline std::string list(const std::vector<std::string>& values) {
  return "](" + concatenated(values) + "e";
}

inline std::string integers(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}

inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

inline std::string call(const std::string& callable, const std::vector<std::string>& arguments) {
  return callable + tuple(arguments) + "R";
}

using Entries = std::vector<std::pair<std::string, std::string>>;  // Text key, pickled value.

inline std::string entries(const Entries& entries) {
  std::string out = "(";
  for (const auto& [key, value] : entries) out += text(key) + value;
  return out + "u";
}

inline std::string dict(const Entries& content) { return "}" + entries(content); }

inline std::string empty_ordered_dict() { return call(global("collections", "OrderedDict"), {}); }

inline std::string ordered_dict(const Entries& content) {
  return empty_ordered_dict() + entries(content);
}

/// A reference to the record `data/KEY`, whose element type is `torch.CLASS`.
inline std::string storage(const std::string& type, const std::string& key, std::int64_t elements) {
  return tuple({text("storage"), type, text(key), text("cpu"), integer(elements)}) + "Q";
}

inline std::string typed_storage(const std::string& name, const std::string& key,
                                 std::int64_t elements) {
  return storage(global("torch", name), key, elements);
}

inline std::string untyped_storage(const std::string& key, std::int64_t bytes) {
  return storage(global("torch.storage", "UntypedStorage"), key, bytes);
}

using Integers = std::vector<std::int64_t>;

inline std::string tensor(const std::string& storage, std::int64_t offset, const Integers& shape,
                          const Integers& strides) {
  return call(
      global("torch._utils", "_rebuild_tensor_v2"),
      {storage, integer(offset), integers(shape), integers(strides), kFalse, empty_ordered_dict()});
}

/// A tensor of a dtype that has no storage class of its own.
inline std::string tensor_of_dtype(const std::string& storage, const Integers& shape,
                                   const Integers& strides, const std::string& dtype) {
  return call(global("torch._utils", "_rebuild_tensor_v3"),
              {storage, integer(0), integers(shape), integers(strides), kFalse,
               empty_ordered_dict(), global("torch", dtype)});
}

/// Four floats, the whole of record `data/KEY`.
inline std::string four_floats(const std::string& key = "0") {
  return tensor(typed_storage("FloatStorage", key, 4), 0, {4}, {1});
}

inline std::string parameter(const std::string& data) {
  return call(global("torch._utils", "_rebuild_parameter"), {data, kTrue, empty_ordered_dict()});
}

}  // namespace pickled

/// One record of an archive: `bytes`, then `hole` zero bytes that take no room on the disk.
struct ZipRecord {
  std::string name, bytes;
  std::uint64_t hole = 0;
};

/// Writes zip archives the way torch does: stored, data aligned to 64 bytes by an extra field,
/// sizes in a descriptor after the data, 64-bit fields where needed and a 64-bit end record always.
/// What is to be wrong in a test is poked into the result.
class ZipBuilder {
 public:
  explicit ZipBuilder(std::vector<ZipRecord> records) : records_(std::move(records)) {}

  std::string build() const {
    std::ostringstream out;
    emit(out);
    return out.str();
  }

  /// For archives with holes.
  void write(const std::filesystem::path& path) const {
    std::ofstream out(path, std::ios::binary);
    emit(out);
    if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
  }

 private:
  static constexpr std::uint64_t kWide = 0xFFFFFFFF;
  static std::uint64_t narrow(std::uint64_t value) { return value >= kWide ? kWide : value; }

  static std::string wide_field(std::initializer_list<std::uint64_t> values) {
    std::string content;
    for (const std::uint64_t value : values) {
      if (value >= kWide) content += little_endian(value, 8);
    }
    return content.empty() ? "" : little_endian(1, 2) + little_endian(content.size(), 2) + content;
  }

  static std::string padding(std::uint64_t data_at) {
    const std::uint64_t bytes = (64 - (data_at + 4) % 64) % 64;
    return "FB" + little_endian(bytes, 2) + std::string(bytes, 'Z');
  }

  static std::uint64_t size_of(const ZipRecord& record) {
    return record.bytes.size() + record.hole;
  }

  static std::string local_header(const ZipRecord& record, std::uint64_t at) {
    const std::string wide = wide_field({at});
    const std::string extra = wide + padding(at + 30 + record.name.size() + wide.size());
    return "PK\x03\x04" + little_endian(0, 2) + little_endian(0x0808, 2) + std::string(18, '\0') +
           little_endian(record.name.size(), 2) + little_endian(extra.size(), 2) + record.name +
           extra;
  }

  static std::string descriptor(const ZipRecord& record) {
    const int bytes = size_of(record) >= kWide ? 8 : 4;
    const std::string size = little_endian(size_of(record), bytes);
    return "PK\x07\x08" + little_endian(0, 4) + size + size;
  }

  static std::string central_header(const ZipRecord& record, std::uint64_t at) {
    const std::uint64_t size = size_of(record);
    const std::string extra = wide_field({size, size, at});
    return "PK\x01\x02" + std::string(4, '\0') + little_endian(0x0808, 2) + std::string(10, '\0') +
           little_endian(narrow(size), 4) + little_endian(narrow(size), 4) +
           little_endian(record.name.size(), 2) + little_endian(extra.size(), 2) +
           std::string(10, '\0') + little_endian(narrow(at), 4) + record.name + extra;
  }

  std::string end_records(std::uint64_t at, std::uint64_t bytes) const {
    const std::uint64_t count = records_.size();
    return "PK\x06\x06" + little_endian(44, 8) + little_endian(45, 4) + std::string(8, '\0') +
           little_endian(count, 8) + little_endian(count, 8) + little_endian(bytes, 8) +
           little_endian(at, 8) +  //
           "PK\x06\x07" + little_endian(0, 4) + little_endian(at + bytes, 8) + little_endian(1, 4) +
           "PK\x05\x06" + little_endian(0, 4) + little_endian(count, 2) + little_endian(count, 2) +
           little_endian(narrow(bytes), 4) + little_endian(narrow(at), 4) + little_endian(0, 2);
  }

  void emit(std::ostream& out) const {
    std::string directory;
    for (const ZipRecord& record : records_) {
      const auto at = static_cast<std::uint64_t>(out.tellp());
      directory += central_header(record, at);
      out << local_header(record, at) << record.bytes;
      if (record.hole > 0) out.seekp(static_cast<std::streamoff>(record.hole), std::ios::cur);
      out << descriptor(record);
    }
    const auto directory_at = static_cast<std::uint64_t>(out.tellp());
    out << directory << end_records(directory_at, directory.size());
  }

  std::vector<ZipRecord> records_;
};

/// Position of the header of record `index` in the directory of `archive`.
inline std::size_t central_header_at(std::string_view archive, std::size_t index) {
  std::size_t at = archive.find("PK\x01\x02");
  while (index-- > 0) at = archive.find("PK\x01\x02", at + 1);
  return at;
}

/// Position of the header before the data of record `index`.
inline std::size_t local_header_at(std::string_view archive, std::size_t index) {
  std::size_t at = archive.find("PK\x03\x04");
  while (index-- > 0) at = archive.find("PK\x03\x04", at + 1);
  return at;
}

/// The records of an archive as torch.save names them.
inline std::vector<ZipRecord> torch_records(const std::string& pickle,
                                            const std::vector<ZipRecord>& storages,
                                            const std::string& root = "archive") {
  std::vector<ZipRecord> records = {{root + "/data.pkl", pickle},
                                    {root + "/.format_version", "1"},
                                    {root + "/byteorder", "little"}};
  for (const ZipRecord& storage : storages) {
    records.push_back({root + "/data/" + storage.name, storage.bytes, storage.hole});
  }
  records.push_back({root + "/version", "3\n"});
  return records;
}

/// What torch.save makes of `value`, a piece from `pickled`.
inline std::string torch_archive(const std::string& value, const std::vector<ZipRecord>& storages) {
  return ZipBuilder(torch_records(pickled::document(value), storages)).build();
}

}  // namespace suture::test
