#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace suture::format {

/// What tells one state of a file from another without reading it.
struct FileIdentity {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t modified_ns = 0;
};

/// A regular file open for positioned reads. It holds a descriptor and no cursor, so one `File` may
/// be read from any number of threads. Reads, not maps: a mapped file that shrinks kills the
/// process.
class File {
 public:
  /// Throws IoError when `path` is missing, unreadable or not a regular file (a FIFO or a device
  /// could block for ever).
  static File open(const std::filesystem::path& path);

  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  /// Fills `out` with the `bytes` bytes at `offset`. Throws IoError when the file ends before that:
  /// it was shortened after it was opened.
  void read(std::uint64_t offset, void* out, std::size_t bytes) const;

  /// Throws IoError when the file behind the path is no longer the one that was opened: replaced,
  /// resized or written to since.
  void verify_unchanged() const;

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return identity_.size; }
  int descriptor() const { return descriptor_; }

 private:
  File() = default;

  std::filesystem::path path_;
  FileIdentity identity_;
  int descriptor_ = -1;
};

/// The whole content of a small file. Throws IoError as `File::open`, FormatError when it is larger
/// than `limit_bytes`.
std::string read_small_file(const std::filesystem::path& path, std::uint64_t limit_bytes);

/// `strerror` of `error`, as a sentence part.
std::string describe_errno(int error);

}  // namespace suture::format
