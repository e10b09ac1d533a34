#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/file.h"

namespace suture::format {

/// One record of a zip archive.
struct ZipEntry {
  std::string_view name;     ///< Whole name, root folder included; lives as long as the archive.
  std::uint64_t offset = 0;  ///< Position of the record's first data byte in the file.
  std::uint64_t size = 0;    ///< Bytes stored.
  bool compressed = false;   ///< Stored in a way that would have to be undone before use.
};

/// The directory of a zip archive as `torch.save` writes it. Nothing is ever decompressed.
///
/// `open` checks all of it and refuses what two readers could understand differently: local headers
/// that disagree with the directory, records that overlap, lie outside the file, share a name or
/// are encrypted, more than one root folder, names that climb out of it, bytes that belong to
/// nothing after the directory, and 64-bit fields that contradict the 32-bit ones.
class ZipArchive {
 public:
  /// Reads and checks the directory. Throws FormatError.
  static ZipArchive open(const File& file);

  /// The folder that all records are in, without a slash.
  std::string_view root() const { return root_; }

  /// The record `root/path`, or nullptr.
  const ZipEntry* find(std::string_view path) const;

  /// All records, sorted by name.
  const std::vector<ZipEntry>& entries() const { return entries_; }

 private:
  ZipArchive() = default;

  std::vector<char> directory_;  // What the names point into; a vector's bytes survive a move.
  std::string_view root_;
  std::vector<ZipEntry> entries_;
};

}  // namespace suture::format
