#include "format/zip_writer.h"

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "format/crc32.h"
#include "format/zip.h"
#include "support/temp_dir.h"
#include "support/torch_archive_builder.h"

namespace suture::format {
namespace {

using test::little_endian;
using test::TempDir;

constexpr std::uint64_t kWide = 0xFFFFFFFF;

// Writes the frame, and data of one byte value where there is no hole, and opens the archive.
ZipArchive write_and_open(const std::filesystem::path& path, const ZipLayout& layout,
                          const std::vector<std::uint32_t>& crcs) {
  std::ofstream out(path, std::ios::binary);
  for (const PlacedBytes& part : layout.frame(crcs)) {
    out.seekp(static_cast<std::streamoff>(part.at));
    out << part.bytes;
  }
  out.close();
  EXPECT_EQ(std::filesystem::file_size(path), layout.file_bytes());
  return ZipArchive::open(File::open(path));
}

// The parts of the frame with the data between them leave nothing out and overlap nowhere.
void expect_exact_cover(const ZipLayout& layout, const std::vector<ZipRecordSize>& records) {
  const auto parts = layout.frame(std::vector<std::uint32_t>(records.size()));
  ASSERT_EQ(parts.size(), records.size() + 1);
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(parts[i].at, at);
    at += parts[i].bytes.size();
    if (i == records.size()) break;
    EXPECT_EQ(layout.data_at(i), at);
    EXPECT_EQ(at % 64, 0u);
    at += records[i].bytes;
  }
  EXPECT_EQ(at, layout.file_bytes());
}

TEST(ZipLayout, IsReadBackWithDataAtMultiplesOf64) {
  const TempDir dir;
  std::vector<ZipRecordSize> records;
  for (std::uint64_t i = 0; i < 200; ++i)
    records.push_back({"root/" + std::string(1 + i % 70, 'n') + std::to_string(i), i % 131});
  const ZipLayout layout(records);
  expect_exact_cover(layout, records);
  const ZipArchive archive =
      write_and_open(dir / "a.zip", layout, std::vector<std::uint32_t>(records.size(), 7));
  EXPECT_EQ(archive.entries().size(), records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    const ZipEntry* entry = archive.find(records[i].name.substr(5));
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->size, records[i].bytes);
    EXPECT_EQ(entry->offset, layout.data_at(i));
    EXPECT_FALSE(entry->compressed);
  }
}

// The sums stand in the descriptor and in the directory, not in the header before the data.
TEST(ZipLayout, KeepsTheSumOfEachRecord) {
  const ZipLayout layout({{"r/a", 3}});
  const auto parts = layout.frame(std::vector<std::uint32_t>{0x12345678});
  EXPECT_EQ(parts[0].bytes.substr(14, 4), std::string(4, '\0'));
  EXPECT_EQ(parts[1].bytes.substr(0, 16), "PK\x07\x08" + little_endian(0x12345678, 4) +
                                              little_endian(3, 4) + little_endian(3, 4));
  EXPECT_EQ(parts[1].bytes.substr(16, 4), "PK\x01\x02");
  EXPECT_EQ(parts[1].bytes.substr(32, 4), little_endian(0x12345678, 4));
}

TEST(ZipLayout, GivesAnEmptyRecordNoDescriptor) {
  const ZipLayout layout({{"r/a", 0}, {"r/b", 0}});
  const auto parts = layout.frame(std::vector<std::uint32_t>(2));
  EXPECT_EQ(parts[1].bytes.substr(0, 4), "PK\x03\x04");
  EXPECT_EQ(parts[1].bytes.substr(6, 2), little_endian(0x0800, 2));
}

// Around 4 GiB: a size or a place that 32 bits cannot hold, the largest that they can, and the one
// that means "see the 64-bit field".
TEST(ZipLayout, SwitchesTo64BitsWhere32DoNotSuffice) {
  for (const std::uint64_t bytes :
       {kWide - 1, kWide, kWide + 1, std::uint64_t{5'000'000'000}, std::uint64_t{1} << 40}) {
    const std::vector<ZipRecordSize> records{{"r/first", 5}, {"r/large", bytes}, {"r/last", 9}};
    const ZipLayout layout(records);
    expect_exact_cover(layout, records);
    const auto parts = layout.frame(std::vector<std::uint32_t>(3));
    const bool wide = bytes >= kWide;
    // The large record's header is in the second part, behind the first one's descriptor.
    EXPECT_EQ(parts[1].bytes.substr(16 + 30 + 7, 2) == little_endian(1, 2), wide);
    EXPECT_EQ(parts[2].bytes.substr(8, wide ? 8 : 4), little_endian(bytes, wide ? 8 : 4));
    // So is the last one's, whose place is past 4 GiB in every case.
    const std::size_t descriptor = wide ? 24 : 16;
    EXPECT_EQ(parts[2].bytes.substr(descriptor + 30 + 6, 4),
              little_endian(1, 2) + little_endian(8, 2));
    EXPECT_EQ(parts[3].bytes.substr(8, 8), little_endian(9, 8));
  }
}

// On a file with holes; the reader checks headers, directory and end records against each other.
TEST(ZipLayout, IsReadBackPast4GiB) {
  const TempDir dir;
  for (const std::uint64_t bytes : {kWide - 1, kWide, kWide + 1, std::uint64_t{9'000'000'000}}) {
    const ZipLayout layout({{"r/first", 5}, {"r/large", bytes}, {"r/none", 0}, {"r/last", 9}});
    const ZipArchive archive =
        write_and_open(dir / "large.zip", layout, std::vector<std::uint32_t>(4));
    EXPECT_EQ(archive.find("large")->size, bytes);
    EXPECT_EQ(archive.find("last")->size, 9u);
    EXPECT_EQ(archive.find("last")->offset, layout.data_at(3));
  }
}

TEST(ZipLayout, IsReadBackWithMoreRecordsThan16BitsCount) {
  const TempDir dir;
  for (const std::size_t count : {65534u, 65535u, 65536u, 70000u}) {
    std::vector<ZipRecordSize> records;
    for (std::size_t i = 0; i < count; ++i) records.push_back({"r/" + std::to_string(i), 1});
    const ZipLayout layout(records);
    const ZipArchive archive =
        write_and_open(dir / "many.zip", layout, std::vector<std::uint32_t>(count));
    EXPECT_EQ(archive.entries().size(), count);
  }
}

}  // namespace
}  // namespace suture::format
