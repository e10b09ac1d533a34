#include "format/zip.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include "suture/error.h"

namespace suture::format {
namespace {

constexpr std::uint32_t kLocalSignature = 0x04034b50;
constexpr std::uint32_t kCentralSignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;
constexpr std::uint32_t kEnd64LocatorSignature = 0x07064b50;

constexpr std::uint64_t kLocalBytes = 30;
constexpr std::uint64_t kCentralBytes = 46;
constexpr std::uint64_t kEndBytes = 22;
constexpr std::uint64_t kEnd64Bytes = 56;
constexpr std::uint64_t kEnd64LocatorBytes = 20;
constexpr std::uint64_t kMaxCommentBytes = 0xFFFF;

constexpr std::uint64_t kMaxEntries = 1'000'000;
constexpr std::uint64_t kMaxDirectoryBytes = 128u << 20;

constexpr std::uint16_t kIn64Bit16 = 0xFFFF;      // "See the 64-bit field" in a 16-bit one.
constexpr std::uint32_t kIn64Bit32 = 0xFFFFFFFF;  // The same in a 32-bit one.
constexpr std::uint16_t kZip64Extra = 0x0001;

constexpr std::uint16_t kStored = 0;
// Encrypted data, strong encryption, and a directory masked by encryption.
constexpr std::uint16_t kEncryptionFlags = 1u << 0 | 1u << 6 | 1u << 13;
constexpr std::uint16_t kSizesFollowData = 1u << 3;

constexpr const char* kRemedy =
    "the file is damaged or was not written by torch.save; download or save it again";

std::uint64_t little_endian(const char* at, int bytes) {
  std::uint64_t value = 0;
  for (int i = bytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(at[i]);
  return value;
}
std::uint16_t u16(const char* at) { return static_cast<std::uint16_t>(little_endian(at, 2)); }
std::uint32_t u32(const char* at) { return static_cast<std::uint32_t>(little_endian(at, 4)); }
std::uint64_t u64(const char* at) { return little_endian(at, 8); }

[[noreturn]] void refuse(const File& file, std::string found, std::string expected = {},
                         std::string remedy = kRemedy) {
  throw FormatError(
      {file.path().string(), {}, std::move(found), std::move(expected), std::move(remedy)});
}

[[noreturn]] void refuse_record(const File& file, std::string_view name, const std::string& found,
                                std::string expected = {}) {
  refuse(file, "zip record '" + printable(name) + "': " + found, std::move(expected));
}

// ---- End of the archive -------------------------------------------------------------------------

// Where the directory is, as the end records say.
struct DirectoryPlace {
  std::uint64_t offset = 0, bytes = 0, entries = 0;
  std::uint64_t limit = 0;  // Where the end records begin, so where the directory must end.
};

// Position of the end record: the last one whose comment reaches exactly to the end of the file.
std::uint64_t find_end_record(const File& file) {
  const std::uint64_t window = std::min(file.size(), kEndBytes + kMaxCommentBytes);
  std::string tail(window, '\0');
  file.read(file.size() - window, tail.data(), tail.size());
  for (std::uint64_t begin = window < kEndBytes ? 0 : window - kEndBytes + 1; begin-- > 0;) {
    const char* at = tail.data() + begin;
    if (u32(at) == kEndSignature && begin + kEndBytes + u16(at + 20) == window) {
      return file.size() - window + begin;
    }
  }
  refuse(file, "a zip archive without its directory", "one at the end of the file",
         "the file is cut short or damaged; download or save it again");
}

// A field that the 32-bit record either repeats or leaves to the 64-bit one.
void require_agreement(const File& file, std::uint64_t narrow, std::uint64_t wide,
                       std::uint64_t in_64_bit, const char* what) {
  if (narrow == wide || narrow == in_64_bit) return;
  refuse(file, std::string("zip end records disagree on ") + what + ": " + std::to_string(narrow) +
                   " and " + std::to_string(wide));
}

// Reads the 64-bit end record, if there is one, over what the 32-bit record said.
void apply_64_bit_record(const File& file, std::uint64_t end_at, DirectoryPlace& place) {
  if (end_at < kEnd64LocatorBytes) return;
  std::array<char, kEnd64LocatorBytes> locator{};
  file.read(end_at - kEnd64LocatorBytes, locator.data(), locator.size());
  if (u32(locator.data()) != kEnd64LocatorSignature) return;

  const std::uint64_t record_at = u64(locator.data() + 8);
  const std::uint64_t record_limit = end_at - kEnd64LocatorBytes;
  if (record_limit < kEnd64Bytes || record_at != record_limit - kEnd64Bytes) {
    refuse(file, "zip64 end record said to be at byte " + std::to_string(record_at),
           "directly before its locator");
  }
  std::array<char, kEnd64Bytes> record{};
  file.read(record_at, record.data(), record.size());
  if (u32(record.data()) != kEnd64Signature) refuse(file, "zip64 end record missing");
  const DirectoryPlace narrow = place;
  place = {u64(&record[48]), u64(&record[40]), u64(&record[32]), record_at};
  if (u64(&record[24]) != place.entries) refuse(file, "zip archive in several parts", "one part");
  require_agreement(file, narrow.entries, place.entries, kIn64Bit16, "the number of records");
  require_agreement(file, narrow.bytes, place.bytes, kIn64Bit32, "the directory's size");
  require_agreement(file, narrow.offset, place.offset, kIn64Bit32, "the directory's place");
}

void require_sane(const File& file, const DirectoryPlace& place) {
  if (place.entries > kMaxEntries || place.bytes > kMaxDirectoryBytes) {
    refuse(file,
           "zip directory of " + std::to_string(place.entries) + " records in " +
               std::to_string(place.bytes) + " bytes",
           "at most 1000000 records in 128 MiB");
  }
  if (place.offset > place.limit || place.limit - place.offset != place.bytes) {
    refuse(file,
           "zip directory of " + std::to_string(place.bytes) + " bytes at byte " +
               std::to_string(place.offset),
           "one that ends where the end record begins, at byte " + std::to_string(place.limit));
  }
}

DirectoryPlace locate_directory(const File& file) {
  const std::uint64_t end_at = find_end_record(file);
  std::array<char, kEndBytes> end{};
  file.read(end_at, end.data(), end.size());
  DirectoryPlace place{u32(&end[16]), u32(&end[12]), u16(&end[10]), end_at};
  if (u16(&end[8]) != u16(&end[10]) || u16(&end[4]) != 0 || u16(&end[6]) != 0) {
    refuse(file, "zip archive in several parts", "one part");
  }
  apply_64_bit_record(file, end_at, place);
  require_sane(file, place);
  return place;
}

// ---- Directory ----------------------------------------------------------------------------------

// A record as the directory describes it, before its data is located.
struct CentralRecord {
  std::string_view name;
  std::uint64_t header_at = 0, size = 0, compressed_size = 0;
  std::uint16_t flags = 0, method = 0;
};

// The 64-bit field among a header's extra fields; nothing when it is missing or the fields are
// malformed.
std::optional<std::string_view> find_zip64_field(std::string_view extra) {
  while (extra.size() >= 4) {
    const std::uint16_t bytes = u16(extra.data() + 2);
    if (extra.size() - 4 < bytes) return std::nullopt;
    if (u16(extra.data()) == kZip64Extra) return extra.substr(4, bytes);
    extra.remove_prefix(4u + bytes);
  }
  return std::nullopt;
}

// Replaces each value that is all ones by the next one of the 64-bit field. False when that field
// does not have as many.
bool widen(std::string_view extra, std::initializer_list<std::uint64_t*> values) {
  std::optional<std::string_view> wide;
  for (std::uint64_t* value : values) {
    if (*value != kIn64Bit32) continue;
    if (!wide) wide = find_zip64_field(extra);
    if (!wide || wide->size() < 8) return false;
    *value = u64(wide->data());
    wide->remove_prefix(8);
  }
  return true;
}

void require_safe_name(const File& file, std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos || slash == 0) {
    refuse_record(file, name, "outside any folder", "all records in one folder");
  }
  const bool climbs = ("/" + std::string(name) + "/").find("/../") != std::string::npos;
  const bool odd = name.find('\0') != std::string_view::npos || name.find('\\') != name.npos;
  if (climbs || odd) refuse_record(file, name, "a name that leads elsewhere");
}

void require_usable(const File& file, const CentralRecord& record) {
  require_safe_name(file, record.name);
  if (record.flags & kEncryptionFlags) refuse_record(file, record.name, "encrypted");
  if (record.method == kStored && record.size != record.compressed_size) {
    refuse_record(file, record.name,
                  "stored as is, yet " + std::to_string(record.size) + " bytes in " +
                      std::to_string(record.compressed_size));
  }
}

class DirectoryReader {
 public:
  DirectoryReader(const File& file, const std::vector<char>& directory)
      : file_(file), left_(directory.data(), directory.size()) {}

  CentralRecord next() {
    if (left_.size() < kCentralBytes || u32(left_.data()) != kCentralSignature) {
      refuse(file_, "zip directory broken off");
    }
    const char* at = left_.data();
    const std::size_t name_bytes = u16(at + 28), extra_bytes = u16(at + 30);
    const std::size_t all_bytes = kCentralBytes + name_bytes + extra_bytes + u16(at + 32);
    if (left_.size() < all_bytes) refuse(file_, "zip directory broken off");

    CentralRecord record{left_.substr(kCentralBytes, name_bytes),
                         u32(at + 42),
                         u32(at + 24),
                         u32(at + 20),
                         u16(at + 8),
                         u16(at + 10)};
    if (u16(at + 34) != 0) refuse_record(file_, record.name, "in another part", "one part");
    const std::string_view extra = left_.substr(kCentralBytes + name_bytes, extra_bytes);
    if (!widen(extra, {&record.size, &record.compressed_size, &record.header_at})) {
      refuse_record(file_, record.name, "its 64-bit sizes are missing");
    }
    require_usable(file_, record);
    left_.remove_prefix(all_bytes);
    return record;
  }

  bool at_end() const { return left_.empty(); }

 private:
  const File& file_;
  std::string_view left_;
};

// ---- Local headers ------------------------------------------------------------------------------

// What a local header says, with the name and the extra fields that follow it.
struct LocalHeader {
  std::uint16_t flags = 0, method = 0;
  std::uint64_t size = 0, compressed_size = 0;
  std::string name, extra;
  std::uint64_t data_at = 0;
};

LocalHeader read_local_header(const File& file, const CentralRecord& record, std::uint64_t limit) {
  const auto require_inside = [&](std::uint64_t bytes) {
    if (record.header_at > limit || limit - record.header_at < bytes) {
      refuse_record(file, record.name, "outside the file");
    }
  };
  require_inside(kLocalBytes);
  std::array<char, kLocalBytes> fixed{};
  file.read(record.header_at, fixed.data(), fixed.size());
  if (u32(fixed.data()) != kLocalSignature) {
    refuse_record(file, record.name, "no header where the directory says");
  }
  const std::size_t name_bytes = u16(&fixed[26]), extra_bytes = u16(&fixed[28]);
  const std::uint64_t all_bytes = kLocalBytes + name_bytes + extra_bytes;
  require_inside(all_bytes);
  std::string text(name_bytes + extra_bytes, '\0');
  file.read(record.header_at + kLocalBytes, text.data(), text.size());
  return {u16(&fixed[6]),
          u16(&fixed[8]),
          u32(&fixed[22]),
          u32(&fixed[18]),
          text.substr(0, name_bytes),
          text.substr(name_bytes),
          record.header_at + all_bytes};
}

// A header written before its data leaves both sizes zero and has them follow the data.
bool sizes_agree(LocalHeader local, const CentralRecord& record) {
  const bool follow = (local.flags & kSizesFollowData) != 0;
  if (follow && local.size == 0 && local.compressed_size == 0) return true;
  if (!widen(local.extra, {&local.size, &local.compressed_size})) return false;
  return local.size == record.size && local.compressed_size == record.compressed_size;
}

// Position of the record's data, once header and directory agree on what it is.
std::uint64_t locate_data(const File& file, const CentralRecord& record, std::uint64_t limit) {
  const LocalHeader local = read_local_header(file, record, limit);
  if (local.name != record.name) {
    refuse_record(file, record.name, "called '" + printable(local.name) + "' in its own header");
  }
  if (local.method != record.method || local.flags != record.flags || !sizes_agree(local, record)) {
    refuse_record(file, record.name, "its header and the directory disagree");
  }
  if (limit - local.data_at < record.compressed_size) {
    refuse_record(file, record.name,
                  std::to_string(record.compressed_size) + " bytes at byte " +
                      std::to_string(local.data_at) + " of the file",
                  "an end before the directory at byte " + std::to_string(limit));
  }
  return local.data_at;
}

std::vector<CentralRecord> read_directory(const File& file, const std::vector<char>& directory,
                                          std::uint64_t count) {
  // Bounded by the bytes that are really there, whatever the end record counts.
  if (count > directory.size() / kCentralBytes) refuse(file, "zip directory broken off");
  std::vector<CentralRecord> records;
  records.reserve(count);
  DirectoryReader reader(file, directory);
  while (records.size() < count) records.push_back(reader.next());
  if (!reader.at_end()) refuse(file, "zip directory longer than its records");
  std::sort(records.begin(), records.end(),
            [](const auto& a, const auto& b) { return a.header_at < b.header_at; });
  return records;
}

std::vector<ZipEntry> locate_entries(const File& file, const std::vector<CentralRecord>& records,
                                     std::uint64_t limit) {
  std::vector<ZipEntry> entries;
  entries.reserve(records.size());
  std::uint64_t free_from = 0;
  for (const CentralRecord& record : records) {
    if (record.header_at < free_from) {
      refuse_record(file, record.name,
                    "overlaps the record '" + printable(entries.back().name) + "'");
    }
    const std::uint64_t data_at = locate_data(file, record, limit);
    entries.push_back({record.name, data_at, record.size, record.method != kStored});
    free_from = data_at + record.compressed_size;
  }
  return entries;
}

std::string_view root_of(std::string_view name) { return name.substr(0, name.find('/')); }

void require_one_root_and_no_duplicate(const File& file, const std::vector<ZipEntry>& sorted) {
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].name == sorted[i - 1].name) refuse_record(file, sorted[i].name, "there twice");
    if (root_of(sorted[i].name) != root_of(sorted[0].name)) {
      refuse_record(file, sorted[i].name, "in a second folder",
                    "all records in '" + printable(root_of(sorted[0].name)) + "'");
    }
  }
}

}  // namespace

ZipArchive ZipArchive::open(const File& file) {
  const DirectoryPlace place = locate_directory(file);
  ZipArchive archive;
  archive.directory_.resize(place.bytes);
  file.read(place.offset, archive.directory_.data(), archive.directory_.size());
  const auto records = read_directory(file, archive.directory_, place.entries);
  archive.entries_ = locate_entries(file, records, place.offset);
  std::sort(archive.entries_.begin(), archive.entries_.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  if (archive.entries_.empty()) refuse(file, "zip archive without records");
  require_one_root_and_no_duplicate(file, archive.entries_);
  archive.root_ = root_of(archive.entries_.front().name);
  return archive;
}

const ZipEntry* ZipArchive::find(std::string_view path) const {
  const std::string name = std::string(root_) + "/" + std::string(path);
  const auto at =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const ZipEntry& e, const std::string& n) { return e.name < n; });
  return at != entries_.end() && at->name == name ? &*at : nullptr;
}

}  // namespace suture::format
