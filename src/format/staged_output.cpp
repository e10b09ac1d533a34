#include "format/staged_output.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include "suture/error.h"

namespace suture::format {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& what, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw IoError({path.string(),
                 {},
                 what + ": " + describe_errno(error),
                 {},
                 full ? "free space or write elsewhere" : ""});
}

// `foo/` and `foo` are the same output.
fs::path without_trailing_slash(const fs::path& path) {
  fs::path absolute = fs::absolute(path).lexically_normal();
  return absolute.filename().empty() ? absolute.parent_path() : absolute;
}

void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(folder, "cannot be opened", errno);
  const int result = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  // Some network file systems cannot sync a folder; the rename itself has been done.
  if (result != 0 && error != EINVAL) fail(folder, "cannot be synced", error);
}

bool looks_like_weights(const fs::path& name) {
  const std::string extension = name.extension().string();
  return extension == ".safetensors" || extension == ".bin" || extension == ".pt";
}

// A folder that --force may replace: empty, or plainly a model or a vector.
bool is_replaceable_folder(const fs::path& folder) {
  std::error_code error;
  bool is_empty = true;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const fs::path name = at->path().filename();
    if (name == "suture.json" || looks_like_weights(name)) return true;
    is_empty = false;
  }
  return is_empty && !error;
}

bool is_within(const fs::path& inner, const fs::path& outer) {
  const auto [at, unused] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return at == outer.end();
}

// renameat2(RENAME_NOREPLACE / RENAME_EXCHANGE); false where the file system knows no such flag.
bool rename_with(const fs::path& from, const fs::path& to, unsigned flags) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0) return true;
  if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP) return false;
  fail(to, "cannot be renamed into place", errno);
}

void rename_plainly(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail(to, "cannot be renamed into place", errno);
}

// posix_fallocate would write zeros where the file system cannot reserve; then the write itself
// tells.
bool reserve(int descriptor, std::uint64_t bytes, int& error) {
  if (bytes == 0) return true;
  while (::fallocate(descriptor, 0, 0, static_cast<off_t>(bytes)) != 0) {
    error = errno;
    if (error == EINTR) continue;
    if (error != EOPNOTSUPP && error != ENOSYS) return false;
    if (::ftruncate(descriptor, static_cast<off_t>(bytes)) == 0) return true;
    error = errno;
    return false;
  }
  return true;
}

}  // namespace

void refuse_unreplaceable(const fs::path& path, OutputKind kind, Existing existing) {
  const fs::path destination = without_trailing_slash(path);
  std::error_code error;
  const fs::file_status status = fs::symlink_status(destination, error);
  if (status.type() == fs::file_type::not_found) {
    if (!fs::is_directory(destination.parent_path(), error)) {
      throw UsageError({destination.parent_path().string(),
                        {},
                        "no such folder",
                        {},
                        "make it first, or check the -o path"});
    }
    return;
  }
  const auto refuse = [&](const char* found, const char* remedy) {
    throw UsageError({destination.string(), {}, found, {}, remedy});
  };
  if (error)
    throw IoError({destination.string(), {}, "cannot be looked at: " + error.message(), {}, {}});
  if (existing == Existing::kRefuse)
    refuse("the output exists already", "choose another name, or --force to replace it");
  if (fs::is_symlink(status)) refuse("the output is a link", "remove it first");
  if (fs::is_directory(status) != (kind == OutputKind::kFolder)) {
    refuse(fs::is_directory(status) ? "the output is a folder, not a file"
                                    : "the output is a file, not a folder",
           "remove it first, or choose another name");
  }
  if (kind == OutputKind::kFile && !fs::is_regular_file(status))
    refuse("the output is not a regular file", "choose another name");
  if (kind == OutputKind::kFolder) {
    if (is_within(fs::current_path(), fs::canonical(destination))) {
      refuse("the output holds the current folder", "choose another name");
    }
    if (!is_replaceable_folder(destination)) {
      refuse("the output is a folder without a model in it",
             "--force replaces models and vectors only; choose another name");
    }
  }
}

StagedOutput::StagedOutput(const fs::path& destination, OutputKind kind, Existing existing)
    : destination_(without_trailing_slash(destination)), kind_(kind), existing_(existing) {
  stage_ =
      destination_.parent_path() / ("." + destination_.filename().string() + ".suture-partial");
  refuse_unreplaceable(destination_, kind_, existing_);
  take_lock();
  std::error_code error;
  for (const auto& left_over : fs::directory_iterator(stage_, error))
    fs::remove_all(left_over, error);
}

void StagedOutput::take_lock() {
  // Between opening and locking, another process may have finished and taken its stage away.
  while (!lock_stage()) {
    if (lock_ >= 0) ::close(std::exchange(lock_, -1));
  }
}

// True when the locked folder is the one that bears the stage's name.
bool StagedOutput::lock_stage() {
  const bool made = ::mkdir(stage_.c_str(), 0777) == 0;
  if (!made && errno != EEXIST) {
    const int error = errno;
    fail(error == ENAMETOOLONG ? destination_ : stage_.parent_path(), "cannot be written to",
         error);
  }
  lock_ = ::open(stage_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (lock_ < 0) {
    const int error = errno;
    if (error == ENOENT) return false;
    if (made) ::rmdir(stage_.c_str());
    fail(stage_, "cannot be opened", error);
  }
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    ::close(std::exchange(lock_, -1));
    if (error != EWOULDBLOCK) {
      if (made) ::rmdir(stage_.c_str());
      fail(stage_, "cannot be locked", error);
    }
    throw IoError({destination_.string(),
                   {},
                   "another process is writing this output",
                   {},
                   "wait for it, or choose another name"});
  }
  struct stat locked {};
  struct stat named {};
  if (::fstat(lock_, &locked) != 0) fail(stage_, "cannot be looked at", errno);
  return ::lstat(stage_.c_str(), &named) == 0 && locked.st_dev == named.st_dev &&
         locked.st_ino == named.st_ino;
}

StagedOutput::~StagedOutput() {
  std::error_code error;
  const bool remains = !committed_ || kind_ == OutputKind::kFile;
  if (remains) fs::remove_all(stage_, error);
  if (lock_ >= 0) ::close(lock_);
  // Removing takes descriptors, and there may have been no other left.
  if (remains && error) fs::remove_all(stage_, error);
}

fs::path StagedOutput::path_of(const fs::path& name) const {
  return stage_ / (kind_ == OutputKind::kFile ? destination_.filename() : name);
}

std::uint64_t StagedOutput::free_bytes() const {
  struct statvfs status {};
  if (::statvfs(stage_.c_str(), &status) != 0) return ~std::uint64_t{0};
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

void StagedOutput::commit() {
  sync_folder(stage_);
  if (kind_ == OutputKind::kFile) {
    place_file();
  } else {
    place_folder();
  }
  committed_ = true;
  sync_folder(destination_.parent_path());
}

void StagedOutput::place_file() {
  const fs::path written = path_of({});
  if (existing_ == Existing::kReplace) {
    struct stat old {};
    if (::stat(destination_.c_str(), &old) == 0) ::chmod(written.c_str(), old.st_mode & 07777);
    rename_plainly(written, destination_);
  } else if (!rename_with(written, destination_, RENAME_NOREPLACE)) {
    rename_plainly(written, destination_);
  }
}

void StagedOutput::place_folder() {
  std::error_code error;
  // A folder that came into being meanwhile must stop the first rename, not be swapped away.
  if (existing_ == Existing::kRefuse || !fs::exists(destination_, error)) {
    if (!rename_with(stage_, destination_, RENAME_NOREPLACE)) rename_plainly(stage_, destination_);
    return;
  }
  // Exchange, so that the name never points to nothing; the old folder is then the stage, and goes.
  if (!rename_with(stage_, destination_, RENAME_EXCHANGE)) {
    const fs::path aside = stage_.string() + ".old";
    fs::remove_all(aside, error);
    rename_plainly(destination_, aside);
    try {
      rename_plainly(stage_, destination_);
    } catch (...) {
      fs::rename(aside, destination_, error);
      throw;
    }
    fs::remove_all(aside, error);
    return;
  }
  fs::remove_all(stage_, error);
}

OutputFile::OutputFile(const fs::path& path, std::uint64_t bytes) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(path_, "cannot be created", errno);
  int error = 0;
  if (!reserve(descriptor_, bytes, error)) {
    ::close(std::exchange(descriptor_, -1));
    fail(path_, "cannot reserve " + std::to_string(bytes) + " bytes", error);
  }
}

OutputFile OutputFile::reopen(const fs::path& path) {
  OutputFile file;
  file.path_ = path;
  file.descriptor_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file.descriptor_ < 0) fail(path, "cannot be opened for writing", errno);
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::write(std::uint64_t offset, const void* data, std::size_t bytes) {
  const auto* at = static_cast<const char*>(data);
  const std::uint64_t begin = offset, length = bytes;
  while (bytes > 0) {
    const ssize_t written = ::pwrite(descriptor_, at, bytes, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(path_, "cannot be written", written < 0 ? errno : ENOSPC);
    at += written;
    offset += static_cast<std::uint64_t>(written);
    bytes -= static_cast<std::size_t>(written);
  }
  start_write_back(begin, length);
}

// What is on its way to the disk need not be waited for at the end. A hint: errors come to
// `finish`.
void OutputFile::start_write_back(std::uint64_t begin, std::uint64_t bytes) {
  ::sync_file_range(descriptor_, static_cast<off64_t>(begin), static_cast<off64_t>(bytes),
                    SYNC_FILE_RANGE_WRITE);
}

void OutputFile::copy_from(const File& source, std::uint64_t source_offset, std::uint64_t offset,
                           std::uint64_t bytes) {
  auto in = static_cast<off64_t>(source_offset), out = static_cast<off64_t>(offset);
  while (bytes > 0) {
    const ssize_t copied = ::copy_file_range(source.descriptor(), &in, descriptor_, &out, bytes, 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied <= 0) break;  // not between these file systems: copy by hand, errors surface there
    bytes -= static_cast<std::uint64_t>(copied);
  }
  start_write_back(offset, static_cast<std::uint64_t>(out) - offset);
  std::vector<char> buffer(std::min<std::uint64_t>(bytes, 1 << 20));
  while (bytes > 0) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, buffer.size()));
    source.read(static_cast<std::uint64_t>(in), buffer.data(), count);
    write(static_cast<std::uint64_t>(out), buffer.data(), count);
    in += static_cast<off64_t>(count);
    out += static_cast<off64_t>(count);
    bytes -= count;
  }
}

void OutputFile::finish() {
  if (::fsync(descriptor_) != 0) fail(path_, "cannot be synced", errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail(path_, "cannot be closed", errno);
}

void write_small_file(const fs::path& path, std::string_view content) {
  OutputFile file(path, content.size());
  file.write(0, content.data(), content.size());
  file.finish();
}

void refuse_output_on_input(const fs::path& destination, const fs::path& input) {
  std::error_code error;
  const fs::path out = fs::weakly_canonical(without_trailing_slash(destination), error);
  if (error)
    throw IoError({destination.string(), {}, "cannot be looked at: " + error.message(), {}, {}});
  const fs::path in = fs::weakly_canonical(input, error);
  const auto refuse = [&](const char* found) {
    throw UsageError(
        {destination.string(), {}, found + (" " + input.string()), {}, "choose another output"});
  };
  if (out == in || fs::equivalent(out, in, error)) refuse("the output is the input");
  if (is_within(in, out)) refuse("the output would replace the folder of the input");
  if (fs::is_directory(in, error) && is_within(out, in)) refuse("the output lies inside the input");
}

}  // namespace suture::format
