// Hostile files are refused before they take much memory: what a refusal costs is measured in a
// child process.

#include <cstddef>
#include <fstream>
#include <functional>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "suture/checkpoint.h"
#include "suture/error.h"

#include "format/json.h"
#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/thrown.h"
#include "support/torch_archive_builder.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::holds;
using test::TempDir;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long kMaxResidentKiB = 0;  // a sanitizer's own memory would be measured
#else
constexpr long kMaxResidentKiB = 200'000;
#endif

std::string refusal_of_location(const fs::path& location) {
  try {
    Checkpoint::open(location.string());
  } catch (const FormatError& error) {
    return error.what();
  }
  return "accepted";
}

// What a child begins with.
long resident_kib() {
  long pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * (::sysconf(_SC_PAGESIZE) / 1024);
}

// Succeeds when `location` is refused for `reason` within the memory that a refusal may take.
testing::AssertionResult is_refused_cheaply(const fs::path& location, const std::string& reason) {
  const long before = resident_kib();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(holds(refusal_of_location(location), reason) ? 0 : 1);
  int status = -1;
  rusage usage{};
  if (child < 0 || ::wait4(child, &status, 0, &usage) != child)
    return testing::AssertionFailure() << "no child";
  if (status != 0) return holds(refusal_of_location(location), reason);
  if (kMaxResidentKiB > 0 && usage.ru_maxrss - before > kMaxResidentKiB)
    return testing::AssertionFailure() << usage.ru_maxrss - before << " KiB";
  return testing::AssertionSuccess();
}

// `head`, `count` times what `piece` gives, `tail`; written bit by bit, since a child inherits what
// its parent holds.
void write_repeated(const fs::path& path, const std::string& head, std::size_t count,
                    const std::function<std::string(std::size_t)>& piece, const std::string& tail) {
  fs::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << head;
  for (std::size_t i = 0; i < count; ++i) file << piece(i);
  file << tail;
}

class HostileMemory : public testing::Test {
 protected:
  void write_index(std::size_t entries, const std::string& shard) const {
    write_repeated(
        dir_ / "model" / "model.safetensors.index.json", R"({"weight_map":{"a":"b")", entries,
        [&](std::size_t i) { return ",\"" + std::to_string(i) + "\":\"" + shard + "\""; }, "}}");
  }

  // A header of 99 MB, with nothing but `piece` between `head` and `tail`.
  fs::path write_header(const std::string& head, const std::string& piece,
                        const std::string& tail) const {
    constexpr std::size_t kBytes = 99'000'000;
    const std::size_t pieces = (kBytes - head.size() - tail.size()) / piece.size();
    const std::size_t bytes = head.size() + pieces * piece.size() + tail.size();
    const fs::path path = dir_ / "m.safetensors";
    write_repeated(
        path, test::little_endian(bytes, 8) + head, pieces, [&](std::size_t) { return piece; },
        tail);
    return path;
  }

  const TempDir dir_;
};

TEST_F(HostileMemory, AnIndexOfTwoMillionEntries) {
  write_index(2'000'000, "m");
  EXPECT_TRUE(is_refused_cheaply(dir_ / "model", "over 500000 keys"));
  write_index(2'000'000, "model-00001-of-00002.safetensors");
  EXPECT_TRUE(is_refused_cheaply(dir_ / "model", "index.json"));
}

TEST_F(HostileMemory, AHeaderOfOneToken) {
  const std::string blanks(1000, 'x'), digits(1000, '1');
  EXPECT_TRUE(is_refused_cheaply(write_header("{\"", blanks, "\":{}}"), "in one string"));
  EXPECT_TRUE(is_refused_cheaply(write_header("{\"a\":{\"shape\":[", digits, "]}}"), "in one"));
  EXPECT_TRUE(is_refused_cheaply(write_header("{\"__metadata__\":{\"a\":\"", "\\n\\\"", "\"}}"),
                                 "in one string"));
  EXPECT_TRUE(is_refused_cheaply(write_header("{\"a\":", blanks, "}"), "in one string"));
  EXPECT_TRUE(is_refused_cheaply(write_header("{\"a", blanks, ""), "in one string"));
}

TEST_F(HostileMemory, APickleOfTenMillionValues) {
  const auto write_archive = [&](const std::string& value) {
    std::string values = "]";
    for (std::size_t i = 0; i < 20'000'000 / value.size(); ++i) values += value;
    std::ofstream(dir_ / "m.pt", std::ios::binary) << test::torch_archive(values, {});
  };
  write_archive("N");
  EXPECT_TRUE(is_refused_cheaply(dir_ / "m.pt", "a million values waiting"));
  write_archive("Na");
  EXPECT_TRUE(is_refused_cheaply(dir_ / "m.pt", "over 4 million values"));
}

// A token may be as long as the limit says: vectors of large models have long metadata.
TEST(JsonTokens, OfTheLimitAreRead) {
  const std::string longest = "\"" + std::string(format::kMaxJsonTokenBytes - 2, 'x') + "\"";
  EXPECT_EQ(format::parse_json("[" + longest + "]", "f").at(0).get<std::string>().size(),
            longest.size() - 2);
  EXPECT_TRUE(holds(test::thrown_by<FormatError>(
                        [&] { format::parse_json("[\"x" + longest.substr(1) + "]", "f"); }),
                    "in one string"));
  // Long, but of short tokens.
  const std::string padded = "[1," + std::string(format::kMaxJsonTokenBytes, ' ') + "2]";
  EXPECT_EQ(format::parse_json(padded, "f").size(), 2u);
}

}  // namespace
}  // namespace suture
