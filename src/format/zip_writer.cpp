#include "format/zip_writer.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "format/little_endian.h"

namespace suture::format {
namespace {

constexpr std::uint64_t kIn64Bit = 0xFFFFFFFF;  // In a 32-bit field: the 64-bit one has the value.
constexpr std::uint64_t kIn64BitCount = 0xFFFF;
constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kLocalBytes = 30, kExtraHeaderBytes = 4;
constexpr std::uint64_t kCentralBytes = 46;
constexpr std::uint64_t kEndRecordsBytes = 56 + 20 + 22;

constexpr std::uint16_t kSizesFollowData = 1u << 3;
constexpr std::uint16_t kUtf8Names = 1u << 11;
constexpr std::uint16_t kZip64Extra = 0x0001;
constexpr std::uint16_t kMadeBy = 0x031E;  // Unix, version 3.0.
constexpr std::uint16_t kNeeded = 45;      // Version 4.5, which knows 64-bit records.

// A number and the bytes that its field takes.
struct Field {
  std::uint64_t value;
  int bytes;
};

std::string fields(std::string start, std::initializer_list<Field> values) {
  for (const Field& field : values) append_little_endian(start, field.value, field.bytes);
  return start;
}

std::uint64_t narrow(std::uint64_t value) { return std::min(value, kIn64Bit); }

std::uint16_t flags_of(const ZipRecordSize& record) {
  return record.bytes > 0 ? kUtf8Names | kSizesFollowData : kUtf8Names;
}

// The extra field with those values that 32 bits cannot hold; empty when there are none.
std::string wide_field(std::initializer_list<std::uint64_t> values) {
  std::string content;
  for (const std::uint64_t value : values) {
    if (value >= kIn64Bit) append_little_endian(content, value, 8);
  }
  if (content.empty()) return content;
  return fields({}, {{kZip64Extra, 2}, {content.size(), 2}}) + content;
}

std::string wide_field(const ZipRecordSize& record, std::uint64_t header_at) {
  return wide_field({record.bytes, record.bytes, header_at});
}

// An extra field that no reader knows, as long as it takes for what follows to be aligned.
std::string padding_field(std::uint64_t at) {
  const std::uint64_t bytes = (kAlignment - (at + kExtraHeaderBytes) % kAlignment) % kAlignment;
  return fields("FB", {{bytes, 2}}) + std::string(bytes, 'Z');
}

std::uint64_t descriptor_bytes(const ZipRecordSize& record, std::uint64_t header_at) {
  if (record.bytes == 0) return 0;
  return record.bytes >= kIn64Bit || header_at >= kIn64Bit ? 24 : 16;
}

}  // namespace

ZipLayout::ZipLayout(std::vector<ZipRecordSize> records) : records_(std::move(records)) {
  std::uint64_t at = 0;
  for (const ZipRecordSize& record : records_) {
    const std::uint64_t named =
        at + kLocalBytes + record.name.size() + wide_field(record, at).size();
    places_.push_back({at, named + padding_field(named).size()});
    at = places_.back().data_at + record.bytes + descriptor_bytes(record, at);
  }
  directory_at_ = at;
}

std::uint64_t ZipLayout::file_bytes() const {
  std::uint64_t bytes = directory_at_ + kEndRecordsBytes;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    bytes += kCentralBytes + records_[i].name.size() +
             wide_field(records_[i], places_[i].header_at).size();
  }
  return bytes;
}

std::string ZipLayout::local_header(std::size_t record) const {
  const auto& [name, bytes] = records_[record];
  const std::uint64_t at = places_[record].header_at;
  const std::string wide = wide_field(records_[record], at);
  const std::string extra = wide + padding_field(at + kLocalBytes + name.size() + wide.size());
  return fields("PK\x03\x04", {{0, 2},  // version needed
                               {flags_of(records_[record]), 2},
                               {0, 2},  // stored
                               {0, 4},  // time and date
                               {0, 4},  // CRC-32 and sizes: they follow
                               {0, 4},
                               {0, 4},
                               {name.size(), 2},
                               {extra.size(), 2}}) +
         name + extra;
}

std::string ZipLayout::descriptor(std::size_t record, std::uint32_t crc) const {
  const std::uint64_t bytes = records_[record].bytes;
  const std::uint64_t all = descriptor_bytes(records_[record], places_[record].header_at);
  if (all == 0) return {};
  const int width = all == 24 ? 8 : 4;
  return fields("PK\x07\x08", {{crc, 4}, {bytes, width}, {bytes, width}});
}

std::string ZipLayout::central_header(std::size_t record, std::uint32_t crc) const {
  const auto& [name, bytes] = records_[record];
  const std::uint64_t at = places_[record].header_at;
  const std::string wide = wide_field(records_[record], at);
  return fields("PK\x01\x02", {{0, 4},  // versions
                               {flags_of(records_[record]), 2},
                               {0, 2},  // stored
                               {0, 4},  // time and date
                               {crc, 4},
                               {narrow(bytes), 4},
                               {narrow(bytes), 4},
                               {name.size(), 2},
                               {wide.size(), 2},
                               {0, 8},  // comment, part, attributes
                               {0, 2},
                               {narrow(at), 4}}) +
         name + wide;
}

std::string ZipLayout::end_records(std::uint64_t directory_bytes) const {
  const std::uint64_t count = records_.size(), narrow_count = std::min(count, kIn64BitCount);
  const std::string record = fields("PK\x06\x06", {{44, 8},
                                                   {kMadeBy, 2},
                                                   {kNeeded, 2},
                                                   {0, 8},  // parts
                                                   {count, 8},
                                                   {count, 8},
                                                   {directory_bytes, 8},
                                                   {directory_at_, 8}});
  const std::string locator =
      fields("PK\x06\x07", {{0, 4}, {directory_at_ + directory_bytes, 8}, {1, 4}});
  return record + locator +
         fields("PK\x05\x06", {{0, 4},
                               {narrow_count, 2},
                               {narrow_count, 2},
                               {narrow(directory_bytes), 4},
                               {narrow(directory_at_), 4},
                               {0, 2}});
}

std::vector<PlacedBytes> ZipLayout::frame(std::span<const std::uint32_t> crcs) const {
  std::vector<PlacedBytes> parts;
  std::string since_data, directory;  // What follows the data before, up to the next.
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    parts.push_back({at, since_data + local_header(i)});
    since_data = descriptor(i, crcs[i]);
    directory += central_header(i, crcs[i]);
    at = places_[i].data_at + records_[i].bytes;
  }
  parts.push_back({at, since_data + directory + end_records(directory.size())});
  return parts;
}

}  // namespace suture::format
