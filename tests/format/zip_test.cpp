#include "format/zip.h"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/torch_archive_builder.h"

namespace suture::format {
namespace {

using test::central_header_at;
using test::little_endian;
using test::local_header_at;
using test::poke;
using test::ZipBuilder;
using test::ZipRecord;

// Positions of fields inside the two kinds of headers.
constexpr std::size_t kLocalFlags = 6, kLocalMethod = 8, kLocalSize = 22, kLocalName = 30;
constexpr std::size_t kFlags = 8, kMethod = 10, kCompressedSize = 20, kSize = 24, kDisk = 34,
                      kHeaderAt = 42, kName = 46;

class Zip : public testing::Test {
 protected:
  ZipArchive open(const std::string& bytes) {
    test::write_file(dir_ / "a.pt", bytes);
    return ZipArchive::open(File::open(dir_ / "a.pt"));
  }

  // Opens `bytes`, which must be refused with a line that holds `part`.
  void expect_refused(const std::string& bytes, const std::string& part) {
    try {
      open(bytes);
      ADD_FAILURE() << "accepted; expected: " << part;
    } catch (const FormatError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }

  static std::string zipped(const std::vector<ZipRecord>& records) {
    return ZipBuilder(records).build();
  }

  static std::string two_records() {
    return zipped({{"root/first", "12345678"}, {"root/second", "abcd"}});
  }

  // Writes one value into a field of the directory's header of record `index`.
  static std::string with_central(std::size_t index, std::size_t field, std::uint64_t value,
                                  int bytes) {
    std::string archive = two_records();
    poke(archive, central_header_at(archive, index) + field, value, bytes);
    return archive;
  }

  static std::string with_local(std::size_t index, std::size_t field, std::uint64_t value,
                                int bytes) {
    std::string archive = two_records();
    poke(archive, local_header_at(archive, index) + field, value, bytes);
    return archive;
  }

  test::TempDir dir_;
};

TEST_F(Zip, FindsRecordsBelowTheRoot) {
  const std::string bytes = two_records();
  const ZipArchive archive = open(bytes);
  EXPECT_EQ(archive.root(), "root");
  EXPECT_EQ(archive.entries().size(), 2u);
  const ZipEntry* second = archive.find("second");
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(bytes.substr(second->offset, second->size), "abcd");
  EXPECT_EQ(second->offset % 64, 0u);
  EXPECT_FALSE(second->compressed);
  EXPECT_EQ(archive.find("third"), nullptr);
}

TEST_F(Zip, AcceptsEmptyRecord) {
  EXPECT_EQ(open(zipped({{"r/a", ""}, {"r/b", ""}})).find("b")->size, 0u);
}

TEST_F(Zip, AcceptsCommentAtTheEnd) {
  std::string archive = two_records();
  poke(archive, archive.size() - 2, 5, 2);
  EXPECT_EQ(open(archive + "hello").entries().size(), 2u);
}

TEST_F(Zip, AcceptsSizesInTheLocalHeader) {
  std::string archive = two_records();
  poke(archive, local_header_at(archive, 0) + kLocalFlags, 0, 2);
  poke(archive, local_header_at(archive, 0) + 18, 8, 4);
  poke(archive, local_header_at(archive, 0) + kLocalSize, 8, 4);
  poke(archive, central_header_at(archive, 0) + kFlags, 0, 2);
  EXPECT_EQ(open(archive).find("first")->size, 8u);
}

TEST_F(Zip, AcceptsArchiveWithout64BitEndRecord) {
  std::string archive = two_records();
  archive.erase(archive.find("PK\x06\x06"), 56 + 20);
  EXPECT_EQ(open(archive).entries().size(), 2u);
}

TEST_F(Zip, AcceptsRecordOver4GiB) {
  ZipBuilder({{"r/big", "", 5ull << 30}, {"r/after", "xyz"}}).write(dir_ / "big.pt");
  const File file = File::open(dir_ / "big.pt");
  const ZipArchive archive = ZipArchive::open(file);
  EXPECT_EQ(archive.find("big")->size, 5ull << 30);
  ASSERT_GT(archive.find("after")->offset, 5ull << 30);
  std::string bytes(3, '\0');
  file.read(archive.find("after")->offset, bytes.data(), bytes.size());
  EXPECT_EQ(bytes, "xyz");
}

TEST_F(Zip, MarksDeflatedRecordAsCompressed) {
  std::string archive = two_records();
  poke(archive, local_header_at(archive, 0) + kLocalMethod, 8, 2);
  poke(archive, central_header_at(archive, 0) + kMethod, 8, 2);
  // A deflate bomb: the size after unpacking is of no interest, since nothing unpacks it.
  poke(archive, central_header_at(archive, 0) + kSize, 0xFFFFFFF0, 4);
  EXPECT_TRUE(open(archive).find("first")->compressed);
}

TEST_F(Zip, RefusesEveryTruncation) {
  const std::string whole = two_records();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(open(whole.substr(0, size)), FormatError) << size;
  }
}

TEST_F(Zip, RefusesTrailingBytes) { expect_refused(two_records() + "x", "without its directory"); }

TEST_F(Zip, RefusesArchiveWithoutRecords) {
  expect_refused("PK\x05\x06" + std::string(18, '\0'), "without records");
}

TEST_F(Zip, RefusesNameThatDiffersInTheLocalHeader) {
  std::string archive = two_records();
  archive[local_header_at(archive, 0) + kLocalName + 5] = 'F';
  expect_refused(archive, "called 'root/First' in its own header");
}

TEST_F(Zip, RefusesMethodThatDiffersInTheLocalHeader) {
  expect_refused(with_local(0, kLocalMethod, 8, 2), "disagree");
}

TEST_F(Zip, RefusesSizeThatDiffersInTheLocalHeader) {
  expect_refused(with_local(0, kLocalSize, 7, 4), "disagree");
}

TEST_F(Zip, RefusesZeroSizeInTheLocalHeaderWithoutDescriptor) {
  std::string archive = with_local(0, kLocalFlags, 0, 2);
  poke(archive, central_header_at(archive, 0) + kFlags, 0, 2);
  expect_refused(archive, "disagree");
}

TEST_F(Zip, RefusesFlagsThatDifferInTheLocalHeader) {
  expect_refused(with_local(0, kLocalFlags, 0x0809, 2), "disagree");
}

TEST_F(Zip, RefusesEncryptedRecord) {
  expect_refused(with_central(0, kFlags, 0x0809, 2), "'root/first': encrypted");
}

TEST_F(Zip, RefusesStronglyEncryptedRecord) {
  expect_refused(with_central(0, kFlags, 0x0848, 2), "encrypted");
}

TEST_F(Zip, RefusesMaskedHeader) {
  expect_refused(with_central(0, kFlags, 0x2808, 2), "encrypted");
}

TEST_F(Zip, RefusesStoredRecordWithTwoSizes) {
  expect_refused(with_central(0, kSize, 800, 4), "stored as is, yet 800 bytes in 8");
}

TEST_F(Zip, RefusesRecordBeyondTheFile) {
  std::string archive = with_central(1, kSize, 1u << 30, 4);
  poke(archive, central_header_at(archive, 1) + kCompressedSize, 1u << 30, 4);
  expect_refused(archive, "an end before the directory");
}

TEST_F(Zip, RefusesHeaderBeyondTheFile) {
  expect_refused(with_central(1, kHeaderAt, 1u << 30, 4), "outside the file");
}

TEST_F(Zip, RefusesHeaderThatIsNone) {
  expect_refused(with_central(0, kHeaderAt, 1, 4), "no header where the directory says");
}

TEST_F(Zip, RefusesOverlappingRecords) {
  std::string archive = two_records();
  poke(archive, central_header_at(archive, 0) + kSize, 100, 4);
  poke(archive, central_header_at(archive, 0) + kCompressedSize, 100, 4);
  expect_refused(archive, "overlaps the record 'root/first'");
}

TEST_F(Zip, RefusesTwoRecordsOnOneHeader) {
  expect_refused(with_central(1, kHeaderAt, 0, 4), "overlaps");
}

TEST_F(Zip, RefusesDuplicateRecord) {
  expect_refused(zipped({{"r/a", "1"}, {"r/b", "2"}, {"r/a", "3"}}), "'r/a': there twice");
}

TEST_F(Zip, RefusesTwoRoots) {
  expect_refused(zipped({{"r/a", "1"}, {"s/b", "2"}}), "in a second folder");
}

TEST_F(Zip, RefusesRecordOutsideAnyFolder) {
  expect_refused(zipped({{"data.pkl", "1"}}), "outside any folder");
  expect_refused(zipped({{"/data.pkl", "1"}}), "outside any folder");
}

TEST_F(Zip, RefusesNameThatClimbsOut) {
  expect_refused(zipped({{"r/data/../../etc/passwd", "1"}}), "leads elsewhere");
  expect_refused(zipped({{"../passwd", "1"}}), "leads elsewhere");
  expect_refused(zipped({{"r/a\\b", "1"}}), "leads elsewhere");
  expect_refused(zipped({{std::string("r/a\0b", 5), "1"}}), "leads elsewhere");
}

TEST_F(Zip, RefusesRecordInAnotherPart) {
  expect_refused(with_central(0, kDisk, 1, 2), "in another part");
}

TEST_F(Zip, RefusesArchiveInSeveralParts) {
  std::string archive = two_records();
  poke(archive, archive.size() - 18, 1, 2);
  expect_refused(archive, "several parts");
}

TEST_F(Zip, RefusesWrongRecordSignature) { expect_refused(with_central(1, 0, 0, 4), "broken off"); }

TEST_F(Zip, RefusesNameLongerThanTheDirectory) {
  expect_refused(with_central(1, 28, 60000, 2), "broken off");
}

TEST_F(Zip, RefusesMissing64BitSizes) {
  expect_refused(with_central(0, kSize, 0xFFFFFFFF, 4), "64-bit sizes are missing");
}

TEST_F(Zip, RefusesLying64BitSize) {
  const auto path = dir_ / "big.pt";
  ZipBuilder({{"r/big", "", 5ull << 30}, {"r/after", "xyz"}}).write(path);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(5ull << 30));
  std::string tail{std::istreambuf_iterator<char>(file), {}};
  const std::size_t field = central_header_at(tail, 0) + kName + 5 + 4;
  poke(tail, field, 6ull << 30, 8);
  poke(tail, field + 8, 6ull << 30, 8);
  file.seekp(static_cast<std::streamoff>(5ull << 30));
  file << tail << std::flush;
  EXPECT_THROW(ZipArchive::open(File::open(path)), FormatError);
}

TEST_F(Zip, RefusesEndRecordsThatDisagree) {
  std::string archive = two_records();
  poke(archive, archive.size() - 22 + 12, 17, 4);
  expect_refused(archive, "disagree on the directory's size");
  archive = two_records();
  poke(archive, archive.size() - 22 + 16, 17, 4);
  expect_refused(archive, "disagree on the directory's place");
  archive = two_records();
  poke(archive, archive.size() - 22 + 8, 1, 2);
  poke(archive, archive.size() - 22 + 10, 1, 2);
  expect_refused(archive, "disagree on the number of records");
}

TEST_F(Zip, Refuses64BitEndRecordElsewhere) {
  std::string archive = two_records();
  poke(archive, archive.find("PK\x06\x07") + 8, 0, 8);
  expect_refused(archive, "directly before its locator");
}

TEST_F(Zip, RefusesLocatorWithout64BitEndRecord) {
  std::string archive = two_records();
  poke(archive, archive.find("PK\x06\x06"), 0, 4);
  expect_refused(archive, "zip64 end record missing");
}

TEST_F(Zip, RefusesGapBetweenDirectoryAndEnd) {
  std::string archive = two_records();
  archive.insert(archive.find("PK\x06\x06"), "gap");
  poke(archive, archive.find("PK\x06\x07") + 8, archive.find("PK\x06\x06"), 8);
  expect_refused(archive, "ends where the end record begins");
}

// An end record alone, with 64-bit counts that the file does not back.
std::string end_with_counts(std::uint64_t entries, std::uint64_t bytes, std::uint64_t at) {
  return "PK\x06\x06" + little_endian(44, 8) + little_endian(0, 12) + little_endian(entries, 8) +
         little_endian(entries, 8) + little_endian(bytes, 8) + little_endian(at, 8) +  //
         "PK\x06\x07" + little_endian(0, 12) + little_endian(1, 4) +                   //
         "PK\x05\x06" + little_endian(0, 4) + std::string(12, '\xFF') + little_endian(0, 2);
}

TEST_F(Zip, RefusesMoreThanAMillionRecords) {
  expect_refused(end_with_counts(1'000'001, 0, 0), "at most 1000000 records");
}

TEST_F(Zip, RefusesDirectoryLargerThanTheLimit) {
  expect_refused(end_with_counts(1, 1ull << 40, 0), "in 128 MiB");
}

TEST_F(Zip, RefusesDirectoryPlaceThatWrapsAround) {
  expect_refused(end_with_counts(1, 46, ~0ull - 45), "ends where the end record begins");
}

TEST_F(Zip, RefusesCountTheDirectoryCannotHold) {
  expect_refused(end_with_counts(1'000'000, 0, 0), "broken off");
}

TEST_F(Zip, RefusesDirectoryLongerThanItsRecords) {
  std::string archive = two_records();
  const std::size_t end64 = archive.find("PK\x06\x06");
  poke(archive, end64 + 24, 1, 8);
  poke(archive, end64 + 32, 1, 8);
  poke(archive, archive.size() - 14, 1, 2);
  poke(archive, archive.size() - 12, 1, 2);
  expect_refused(archive, "longer than its records");
}

}  // namespace
}  // namespace suture::format
