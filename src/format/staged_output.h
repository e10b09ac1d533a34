#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "format/file.h"

namespace suture::format {

/// What to do when the output is already there.
enum class Existing { kRefuse, kReplace };

/// What an output is: one file, or a folder of them.
enum class OutputKind { kFile, kFolder };

/// Throws UsageError when `destination` exists and may not be replaced (a folder is replaced only
/// if it holds a model or a vector), or when the folder it should stand in does not exist.
void refuse_unreplaceable(const std::filesystem::path& destination, OutputKind kind,
                          Existing existing);

/// An output that appears whole or not at all. Everything is written into a hidden sibling folder
/// `.NAME.suture-partial`, synced, and renamed into place by `commit`. Destroying an uncommitted
/// stage removes it; one that a killed process left is cleared by the next run. A lock on the
/// folder keeps two processes from writing the same output.
class StagedOutput {
 public:
  /// Throws what refuse_unreplaceable does, and IoError when the stage cannot be made or another
  /// process holds it.
  StagedOutput(const std::filesystem::path& destination, OutputKind kind, Existing existing);
  StagedOutput(const StagedOutput&) = delete;
  StagedOutput& operator=(const StagedOutput&) = delete;
  ~StagedOutput();

  /// Where to write the output's file `name` for now. For a single file, `name` is ignored.
  std::filesystem::path path_of(const std::filesystem::path& name) const;

  /// Free space where the output will live, in bytes.
  std::uint64_t free_bytes() const;

  /// Renames the stage into place and syncs the parent folder. Files are synced by their writers.
  void commit();

 private:
  void take_lock();
  bool lock_stage();
  void place_file();
  void place_folder();

  std::filesystem::path destination_, stage_;
  OutputKind kind_;
  Existing existing_;
  int lock_ = -1;
  bool committed_ = false;
};

/// A file being written at known positions by any number of threads.
class OutputFile {
 public:
  /// Creates `path`, which must not exist, and reserves `bytes` for it, so that a full disk is told
  /// before the work and not in the middle of it. Throws IoError.
  OutputFile(const std::filesystem::path& path, std::uint64_t bytes);

  /// Opens a file that is there, to write over parts of it. Throws IoError.
  static OutputFile reopen(const std::filesystem::path& path);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  OutputFile(const OutputFile&) = delete;
  ~OutputFile();

  /// Writes at `offset`; safe to call from several threads on disjoint ranges. Throws IoError.
  void write(std::uint64_t offset, const void* data, std::size_t bytes);

  /// Copies bytes of `source` inside the kernel where it can (sharing them where the file system
  /// can).
  void copy_from(const File& source, std::uint64_t source_offset, std::uint64_t offset,
                 std::uint64_t bytes);

  /// Flushes to the disk and closes. Any error is final. Throws IoError.
  void finish();

 private:
  OutputFile() = default;
  void start_write_back(std::uint64_t begin, std::uint64_t bytes);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// Writes a small file whole and syncs it.
void write_small_file(const std::filesystem::path& path, std::string_view content);

/// Throws UsageError when writing `destination` could destroy or shadow `input`: the same place,
/// one inside the other, or a link to it.
void refuse_output_on_input(const std::filesystem::path& destination,
                            const std::filesystem::path& input);

}  // namespace suture::format
