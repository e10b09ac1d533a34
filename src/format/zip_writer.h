#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace suture::format {

/// A record that an archive is to have.
struct ZipRecordSize {
  std::string name;  ///< Whole name, folder included; at most 65535 bytes.
  std::uint64_t bytes = 0;
};

/// Bytes and where they stand in a file.
struct PlacedBytes {
  std::uint64_t at = 0;
  std::string bytes;
};

/// Where everything in a zip archive stands, known before any data is: records stored as they are,
/// laid out as `torch.save` does, so that its readers may compute positions instead of looking them
/// up. Data begins at multiples of 64 bytes, padded for by an extra field of the header; sizes and
/// CRC-32 follow the data in a descriptor (none after empty data); 64-bit fields stand where 32
/// bits do not suffice, and a 64-bit end record always. No clock: every date is zero.
class ZipLayout {
 public:
  explicit ZipLayout(std::vector<ZipRecordSize> records);

  /// Position of a record's first data byte.
  std::uint64_t data_at(std::size_t record) const { return places_[record].data_at; }

  std::uint64_t file_bytes() const;

  /// Everything but the records' data: headers, descriptors and directory, without gaps between
  /// them and the data. `crcs` are those of the records.
  std::vector<PlacedBytes> frame(std::span<const std::uint32_t> crcs) const;

 private:
  struct Place {
    std::uint64_t header_at = 0, data_at = 0;
  };

  std::string local_header(std::size_t record) const;
  std::string descriptor(std::size_t record, std::uint32_t crc) const;
  std::string central_header(std::size_t record, std::uint32_t crc) const;
  std::string end_records(std::uint64_t directory_bytes) const;

  std::vector<ZipRecordSize> records_;
  std::vector<Place> places_;
  std::uint64_t directory_at_ = 0;
};

}  // namespace suture::format
