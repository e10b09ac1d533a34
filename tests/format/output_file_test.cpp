// Files inside a staged output, and what a full disk does to them.

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "format/staged_output.h"
#include "support/folder_tree.h"
#include "support/in_child.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::format {
namespace {

namespace fs = std::filesystem;
using test::holds;
using test::in_child;
using test::read_file;
using test::TempDir;
using test::thrown_by;
using test::write_file;

TEST(OutputFile, IsWrittenInAnyOrder) {
  const TempDir dir;
  OutputFile file(dir / "f", 10);
  EXPECT_EQ(fs::file_size(dir / "f"), 10u);
  file.write(5, "56789", 5);
  file.write(0, "01234", 5);
  file.finish();
  EXPECT_EQ(read_file(dir / "f"), "0123456789");
}

TEST(OutputFile, IsWrittenFromManyThreads) {
  const TempDir dir;
  OutputFile file(dir / "f", 400'000);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&file, i] {
      const std::string block(100, static_cast<char>('a' + i));
      for (std::size_t k = 0; k < 1000; ++k) file.write((k * 4 + i) * 100, block.data(), 100);
    });
  }
  for (std::thread& thread : threads) thread.join();
  file.finish();
  std::string expected;
  for (int k = 0; k < 1000; ++k) {
    for (const char c : {'a', 'b', 'c', 'd'}) expected += std::string(100, c);
  }
  EXPECT_EQ(read_file(dir / "f"), expected);
}

TEST(OutputFile, MayBeEmpty) {
  const TempDir dir;
  write_small_file(dir / "f", "");
  EXPECT_EQ(fs::file_size(dir / "f"), 0u);
}

TEST(OutputFile, RefusesAFileThatExists) {
  const TempDir dir;
  write_file(dir / "f", "old");
  fs::create_symlink("gone", dir / "link");
  for (const char* name : {"f", "link"}) {
    EXPECT_TRUE(holds(thrown_by<IoError>([&] { OutputFile(dir / name, 1); }), "cannot be created"));
  }
  EXPECT_EQ(read_file(dir / "f"), "old");
  EXPECT_EQ(test::entries_of(dir.path()), (std::vector<std::string>{"f", "link"}));
}

TEST(OutputFile, CopiesFromAnother) {
  const TempDir dir;
  std::string content;
  for (int i = 0; i < 3'000'000; ++i) content += static_cast<char>(i * 7 % 253);
  write_file(dir / "source", content);
  const File source = File::open(dir / "source");
  OutputFile file(dir / "f", content.size());
  file.write(0, "XY", 2);
  file.copy_from(source, 1001, 2, content.size() - 1001);
  file.copy_from(source, 0, content.size() - 999, 999);
  file.finish();
  EXPECT_EQ(read_file(dir / "f"), "XY" + content.substr(1001) + content.substr(0, 999));
}

TEST(OutputFile, TellsThatTheSourceOfACopyShrank) {
  const TempDir dir;
  write_file(dir / "source", std::string(10'000, 's'));
  const File source = File::open(dir / "source");
  fs::resize_file(dir / "source", 100);
  OutputFile file(dir / "f", 10'000);
  EXPECT_TRUE(holds(thrown_by<IoError>([&] { file.copy_from(source, 0, 0, 10'000); }),
                    "shorter than when it was opened"));
}

// Between file systems of different kinds the kernel does not copy, so this goes through memory.
TEST(OutputFile, CopiesWhereTheKernelCannot) {
  if (!fs::exists("/dev/shm")) GTEST_SKIP() << "no second file system";
  const TempDir dir;
  const std::string pattern = "/dev/shm/suture-test-" + std::to_string(::getpid());
  const std::string content(2'500'000, 'c');
  write_file(pattern, content);
  {
    const File source = File::open(pattern);
    OutputFile file(dir / "f", content.size());
    file.copy_from(source, 0, 0, content.size());
    file.finish();
  }
  fs::remove(pattern);
  EXPECT_EQ(read_file(dir / "f"), content);
}

// In a child, because the limit cannot be lifted again. The limit acts as a full disk does.
int with_file_limit(std::uint64_t bytes, const std::function<void()>& body) {
  return in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, bytes};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 98;
    try {
      body();
    } catch (const IoError& error) {
      return std::string(error.what()).find("free space or write elsewhere") != std::string::npos
                 ? 7
                 : 8;
    }
    return 0;
  });
}

TEST(FullDisk, IsToldBeforeTheFirstWrite) {
  const TempDir dir;
  EXPECT_EQ(with_file_limit(4096, [&] { OutputFile file(dir / "f", 4096); }), 0);
  EXPECT_EQ(with_file_limit(4096, [&] { OutputFile file(dir / "g", 4097); }), 7);
}

TEST(FullDisk, IsToldByAWrite) {
  const TempDir dir;
  const std::string block(8192, 'b');
  EXPECT_EQ(with_file_limit(4096,
                            [&] {
                              OutputFile file(dir / "f", 0);
                              file.write(0, block.data(), block.size());
                            }),
            7);
}

TEST(FullDisk, IsToldByACopy) {
  const TempDir dir;
  write_file(dir / "source", std::string(8192, 's'));
  const File source = File::open(dir / "source");
  EXPECT_EQ(with_file_limit(4096,
                            [&] {
                              OutputFile file(dir / "f", 0);
                              file.copy_from(source, 0, 0, 8192);
                            }),
            7);
}

TEST(FullDisk, LeavesNoOutput) {
  const TempDir dir;
  EXPECT_EQ(with_file_limit(4096,
                            [&] {
                              StagedOutput output(dir / "out", OutputKind::kFolder,
                                                  Existing::kRefuse);
                              write_small_file(output.path_of("small"), "fits");
                              write_small_file(output.path_of("large"), std::string(5000, 'x'));
                              output.commit();
                            }),
            7);
  EXPECT_TRUE(test::entries_of(dir.path()).empty());
}

}  // namespace
}  // namespace suture::format
