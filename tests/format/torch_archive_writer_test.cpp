#include "format/torch_archive_writer.h"

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "format/torch_archive.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::format {
namespace {

using namespace std::string_literals;
using test::TempDir;

std::string frame_of(const TorchArchiveLayout& layout, const std::vector<std::uint32_t>& crcs) {
  std::string bytes(layout.file_bytes(), '\xEE');
  for (const PlacedBytes& part : layout.rest(crcs))
    bytes.replace(part.at, part.bytes.size(), part.bytes);
  return bytes;
}

std::vector<TensorInfo> read_back(const std::filesystem::path& path,
                                  const TorchArchiveLayout& layout, std::size_t storages) {
  std::ofstream out(path, std::ios::binary);
  for (const PlacedBytes& part : layout.rest(std::vector<std::uint32_t>(storages))) {
    out.seekp(static_cast<std::streamoff>(part.at));
    out << part.bytes;
  }
  out.close();
  return read_torch_archive(File::open(path));
}

TEST(TorchArchiveLayout, IsReadBackWithEveryDtypeOfWholeBytes) {
  const TempDir dir;
  std::vector<ArchivedStorage> storages;
  std::vector<ArchivedTensor> tensors;
  for (int i = 0; i <= static_cast<int>(Dtype::kU64); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    if (bytes_of(dtype) == 0) continue;
    tensors.push_back({std::string(name_of(dtype)), storages.size(), 1, {2, 3}, {3, 1}});
    storages.push_back({dtype, 8});
  }
  const TorchArchiveLayout layout(storages, tensors);
  const auto read = read_back(dir / "m.pt", layout, storages.size());
  ASSERT_EQ(read.size(), tensors.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].name, tensors[i].name);
    EXPECT_EQ(read[i].dtype, storages[i].dtype);
    EXPECT_EQ(read[i].shape, tensors[i].shape);
    const auto width = static_cast<std::uint64_t>(bytes_of(storages[i].dtype));
    EXPECT_EQ(read[i].offset, layout.storage_at(i) + width);
    EXPECT_EQ(layout.storage_at(i) % 64, 0u);
  }
}

// torch counts bytes of two, Suture the floats.
TEST(TorchArchiveLayout, IsReadBackWith4BitFloats) {
  const TempDir dir;
  const std::vector<ArchivedStorage> storages{{Dtype::kF4, 12}};
  const auto read = read_back(dir / "m.pt", {storages, {{"w", 0, 6, {2, 3}, {3, 1}}}}, 1);
  EXPECT_EQ(read.at(0).dtype, Dtype::kF4);
  EXPECT_EQ(read.at(0).shape, (std::vector<std::int64_t>{2, 6}));
  EXPECT_EQ(read.at(0).elements, 12u);
  EXPECT_EQ(read.at(0).bytes, 6u);
  for (const ArchivedTensor& odd :
       {ArchivedTensor{"w", 0, 0, {}, {}}, ArchivedTensor{"w", 0, 0, {3, 2}, {1, 3}}}) {
    const std::string message = test::thrown_by<FormatError>([&] {
      read_back(dir / "odd.pt", {storages, {odd}}, 1);
    });
    EXPECT_TRUE(test::holds(message, "4-bit"));
  }
}

TEST(TorchArchiveLayout, IsReadBackWithHostileNames) {
  const TempDir dir;
  std::vector<ArchivedTensor> tensors;
  for (const std::string& name :
       {""s, "0"s, "cpu"s, "storage"s, "../up"s, "a\\b"s, "nul\0"s, "line\nc posix\nsystem\n"s,
        "\xE2\x80\xAE\xF0\x9F\x99\x82"s, std::string(1 << 20, 'n')}) {
    tensors.push_back({name, 0, 0, {}, {}});
  }
  const auto read = read_back(dir / "m.pt", {{{Dtype::kF32, 1}}, tensors}, 1);
  ASSERT_EQ(read.size(), tensors.size());
  for (std::size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i].name, tensors[i].name);
}

TEST(TorchArchiveLayout, RefusesANameThatIsNotUtf8) {
  for (const char* name : {"\xFF", "half \xE2\x80", "surrogate \xED\xA0\x80"}) {
    const std::string message = test::thrown_by<FormatError>([&] {
      TorchArchiveLayout({{Dtype::kF32, 1}}, {{name, 0, 0, {}, {}}});
    });
    EXPECT_TRUE(test::holds(message, "UTF-8"));
    EXPECT_TRUE(test::is_one_plain_line(message));
  }
}

TEST(TorchArchiveLayout, IsReadBackWithoutTensorsAndWithMany) {
  const TempDir dir;
  EXPECT_TRUE(read_back(dir / "none.pt", {{}, {}}, 0).empty());
  for (const std::size_t count : {1u, 999u, 1000u, 1001u, 2001u}) {
    std::vector<ArchivedTensor> tensors;
    for (std::size_t i = 0; i < count; ++i)
      tensors.push_back({"t" + std::to_string(i), 0, 0, {}, {}});
    EXPECT_EQ(read_back(dir / "m.pt", {{{Dtype::kF64, 1}}, tensors}, 1).size(), count);
  }
}

TEST(TorchArchiveLayout, IsReadBackPast4GiB) {
  const TempDir dir;
  const std::int64_t elements = 3'000'000'000;
  const TorchArchiveLayout layout(
      {{Dtype::kBF16, static_cast<std::uint64_t>(elements)}, {Dtype::kU16, 4}},
      {{"large", 0, 0, {elements}, {1}}, {"last", 1, 0, {4}, {1}}});
  const auto read = read_back(dir / "large.pt", layout, 2);
  EXPECT_EQ(read.at(0).bytes, 6'000'000'000u);
  EXPECT_EQ(read.at(1).offset, layout.storage_at(1));
}

TEST(TorchArchiveLayout, LeavesNothingUndefinedAndNamesItsContent) {
  const std::vector<ArchivedStorage> storages{{Dtype::kI32, 0}};
  const TorchArchiveLayout layout(storages, {{"w", 0, 0, {0}, {1}}});
  const std::string bytes = frame_of(layout, {0});
  EXPECT_EQ(bytes.find('\xEE'), std::string::npos);
  EXPECT_EQ(bytes, frame_of(layout, {0}));
  // Another content has another fingerprint: the names alone, or the sums alone.
  EXPECT_NE(bytes, frame_of(layout, {1}));
  EXPECT_NE(bytes, frame_of({storages, {{"v", 0, 0, {0}, {1}}}}, {0}));
}

}  // namespace
}  // namespace suture::format
