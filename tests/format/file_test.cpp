#include "format/file.h"

#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::format {
namespace {

namespace fs = std::filesystem;
using test::holds;
using test::TempDir;
using test::thrown_by;
using test::write_file;

std::string read_part(const File& file, std::uint64_t offset, std::size_t bytes) {
  std::string text(bytes, '?');
  file.read(offset, text.data(), bytes);
  return text;
}

TEST(File, ReadsAnyPart) {
  const TempDir dir;
  write_file(dir / "f", "0123456789");
  const File file = File::open(dir / "f");
  EXPECT_EQ(file.path(), dir / "f");
  EXPECT_EQ(file.size(), 10u);
  EXPECT_EQ(read_part(file, 0, 10), "0123456789");
  EXPECT_EQ(read_part(file, 7, 3), "789");
  EXPECT_EQ(read_part(file, 2, 4), "2345");
  EXPECT_EQ(read_part(file, 10, 0), "");
}

TEST(File, OpensAnEmptyFile) {
  const TempDir dir;
  write_file(dir / "f", "");
  EXPECT_EQ(File::open(dir / "f").size(), 0u);
}

TEST(File, FollowsALink) {
  const TempDir dir;
  write_file(dir / "f", "text");
  fs::create_symlink("f", dir / "link");
  EXPECT_EQ(read_part(File::open(dir / "link"), 0, 4), "text");
}

TEST(File, IsReadFromManyThreadsAtOnce) {
  const TempDir dir;
  std::string content;
  for (int i = 0; i < 100'000; ++i) content += static_cast<char>(i % 251);
  write_file(dir / "f", content);
  const File file = File::open(dir / "f");
  std::vector<std::string> parts(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    threads.emplace_back([&, i] { parts[i] = read_part(file, i * 25'000, 25'000); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(parts[0] + parts[1] + parts[2] + parts[3], content);
}

TEST(File, MovesWithItsDescriptor) {
  const TempDir dir;
  write_file(dir / "f", "text");
  File first = File::open(dir / "f");
  const int descriptor = first.descriptor();
  File second = std::move(first);
  EXPECT_EQ(second.descriptor(), descriptor);
  EXPECT_EQ(read_part(second, 0, 4), "text");
}

TEST(File, ClosesItsDescriptor) {
  const TempDir dir;
  write_file(dir / "f", "text");
  int descriptor = -1;
  {
    const File file = File::open(dir / "f");
    descriptor = file.descriptor();
    EXPECT_NE(::fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1);
}

TEST(File, RefusesWhatIsNotThere) {
  const TempDir dir;
  const std::string said = thrown_by<IoError>([&] { File::open(dir / "none"); });
  EXPECT_TRUE(holds(said, (dir / "none").string()));
  EXPECT_TRUE(holds(said, "No such file"));
}

TEST(File, RefusesADirectory) {
  const TempDir dir;
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { File::open(dir.path()); }), "a directory"));
}

TEST(File, RefusesAFifoWithoutWaitingForIt) {
  const TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { File::open(dir / "fifo"); }), "a FIFO"));
}

TEST(File, RefusesADevice) {
  EXPECT_TRUE(holds(thrown_by<IoError>([] { File::open("/dev/zero"); }), "a device"));
}

TEST(File, TellsADanglingLink) {
  const TempDir dir;
  fs::create_symlink("gone", dir / "link");
  const std::string said = thrown_by<IoError>([&] { File::open(dir / "link"); });
  EXPECT_TRUE(holds(said, "link points to a file that is not there"));
  EXPECT_TRUE(holds(said, "download the model again"));
}

TEST(File, RefusesALinkToItself) {
  const TempDir dir;
  fs::create_symlink("loop", dir / "loop");
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { File::open(dir / "loop"); }), "cannot be opened"));
}

TEST(File, ReadPastAShrunkEndThrows) {
  const TempDir dir;
  write_file(dir / "f", std::string(10'000, 'x'));
  const File file = File::open(dir / "f");
  fs::resize_file(dir / "f", 5'000);
  EXPECT_EQ(read_part(file, 0, 5'000), std::string(5'000, 'x'));
  const std::string said = thrown_by<IoError>([&] { read_part(file, 0, 10'000); });
  EXPECT_TRUE(holds(said, "ends at byte 5000, shorter than when it was opened"));
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { file.verify_unchanged(); }), "changed"));
}

TEST(File, IsUnchangedAfterReading) {
  const TempDir dir;
  write_file(dir / "f", "text");
  const File file = File::open(dir / "f");
  read_part(file, 0, 4);
  EXPECT_NO_THROW(file.verify_unchanged());
}

TEST(File, NoticesThatItWasReplaced) {
  const TempDir dir;
  write_file(dir / "f", "text");
  const File file = File::open(dir / "f");
  write_file(dir / "other", "text");
  fs::last_write_time(dir / "other", fs::last_write_time(dir / "f"));
  fs::rename(dir / "other", dir / "f");
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { file.verify_unchanged(); }), "changed"));
}

TEST(File, NoticesThatItWasWrittenTo) {
  const TempDir dir;
  write_file(dir / "f", "text");
  const File file = File::open(dir / "f");
  fs::last_write_time(dir / "f", fs::last_write_time(dir / "f") + std::chrono::nanoseconds(1));
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { file.verify_unchanged(); }), "changed"));
}

TEST(File, NoticesAnotherSizeOfTheSameTime) {
  const TempDir dir;
  write_file(dir / "f", "text");
  const File file = File::open(dir / "f");
  const auto time = fs::last_write_time(dir / "f");
  fs::resize_file(dir / "f", 3);
  fs::last_write_time(dir / "f", time);
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { file.verify_unchanged(); }), "changed"));
}

TEST(File, NoticesThatItWasRemoved) {
  const TempDir dir;
  write_file(dir / "f", "text");
  const File file = File::open(dir / "f");
  fs::remove(dir / "f");
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { file.verify_unchanged(); }), "changed"));
}

TEST(ReadSmallFile, ReadsUpToItsLimit) {
  const TempDir dir;
  write_file(dir / "f", "12345");
  EXPECT_EQ(read_small_file(dir / "f", 5), "12345");
  const std::string said = thrown_by<FormatError>([&] { read_small_file(dir / "f", 4); });
  EXPECT_TRUE(holds(said, "5 bytes; expected at most 4"));
}

TEST(ReadSmallFile, RefusesAHugeFileWithoutReadingIt) {
  const TempDir dir;
  write_file(dir / "config.json", "");
  fs::resize_file(dir / "config.json", 4ull << 30);
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { read_small_file(dir / "config.json", 16 << 20); }),
                    "4294967296 bytes"));
}

}  // namespace
}  // namespace suture::format
