#include "format/file.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "suture/error.h"

namespace suture::format {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, std::string found,
                         std::string remedy = {}) {
  throw IoError({path.string(), {}, std::move(found), {}, std::move(remedy)});
}

[[noreturn]] void refuse_open(const std::filesystem::path& path, int error) {
  if (error == EMFILE || error == ENFILE) {
    refuse(path, "too many open files", "raise the limit (ulimit -n) or merge shards");
  }
  std::error_code ignored;
  if (error == ENOENT && std::filesystem::is_symlink(path, ignored)) {
    refuse(path, "the link points to a file that is not there",
           "an interrupted download leaves this; download the model again");
  }
  refuse(path, "cannot be opened: " + describe_errno(error));
}

FileIdentity identity_of(const struct stat& status) {
  return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
          status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec};
}

bool same(const FileIdentity& a, const FileIdentity& b) {
  return a.device == b.device && a.inode == b.inode && a.size == b.size &&
         a.modified_ns == b.modified_ns;
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "not a regular file";
}

}  // namespace

std::string describe_errno(int error) { return std::generic_category().message(error); }

File File::open(const std::filesystem::path& path) {
  File file;
  file.path_ = path;
  // O_NONBLOCK keeps a FIFO from blocking the open; it has no effect on a regular file.
  file.descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.descriptor_ < 0) refuse_open(path, errno);
  struct stat status {};
  if (::fstat(file.descriptor_, &status) != 0) refuse_open(path, errno);
  if (!S_ISREG(status.st_mode)) {
    throw IoError({path.string(), {}, kind_of(status.st_mode), "a regular file", {}});
  }
  file.identity_ = identity_of(status);
  return file;
}

File::File(File&& other) noexcept { *this = std::move(other); }

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(identity_, other.identity_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void File::read(std::uint64_t offset, void* out, std::size_t bytes) const {
  auto* at = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, at, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(path_, "cannot be read: " + describe_errno(errno));
    if (got == 0) {
      refuse(path_, "ends at byte " + std::to_string(offset) + ", shorter than when it was opened",
             "something is writing to it; wait and run again");
    }
    at += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
}

void File::verify_unchanged() const {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0 || !same(identity_of(status), identity_)) {
    refuse(path_, "changed while it was being read",
           "wait until nothing writes to it and run again");
  }
}

std::string read_small_file(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  const File file = File::open(path);
  if (file.size() > limit_bytes) {
    throw FormatError({path.string(),
                       {},
                       std::to_string(file.size()) + " bytes",
                       "at most " + std::to_string(limit_bytes),
                       "this is not the file it is named after"});
  }
  std::string text(file.size(), '\0');
  file.read(0, text.data(), text.size());
  return text;
}

}  // namespace suture::format
