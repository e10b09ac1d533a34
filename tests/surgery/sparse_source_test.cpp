// Vectors with sparse tensors as a source of dense ones; and files that lie about them.

#include "surgery/sparse_source.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/surgery.h"

#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"
#include "surgery/sparse_tensor.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

using test::holds;
using test::SafetensorsBuilder;
using test::TempDir;
using test::thrown_by;

constexpr std::int64_t kElements = 70'000;  // two blocks, the second one short

// What a sparse file holds; every test changes one thing.
struct Parts {
  std::string bitmap, values;
  std::vector<std::int64_t> offsets;
  Dtype bitmap_dtype = Dtype::kU8, values_dtype = Dtype::kF32, offsets_dtype = Dtype::kI64;
  std::vector<std::int64_t> shape{kElements};
  std::string dtype = "F32";
  bool has_bitmap = true, has_values = true, has_offsets = true, has_dense = false;
  std::string stray;  // another tensor's name
};

std::vector<float> dense_values() {
  std::vector<float> values(kElements);
  for (std::size_t i = 0; i < values.size(); i += 7) values[i] = static_cast<float>(i) + 0.5f;
  values[3] = -0.0f;
  return values;
}

Parts good_parts() {
  const std::vector<float> dense = dense_values();
  Parts parts;
  parts.bitmap.resize((kElements + 7) / 8);
  parts.values.resize(count_sparse_values(dense.data(), 4, dense.size()) * 4);
  compress(dense.data(), 4, dense.size(), reinterpret_cast<std::uint8_t*>(parts.bitmap.data()),
           parts.values.data());
  parts.offsets = {0,
                   static_cast<std::int64_t>(count_sparse_values(dense.data(), 4, kSparseBlock))};
  return parts;
}

std::int64_t size_in(const std::string& bytes, Dtype dtype) {
  return static_cast<std::int64_t>(bytes.size()) / bytes_of(dtype);
}

// As it stands in a JSON string.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text)
    result += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return result;
}

void write(const Parts& parts, const std::filesystem::path& path) {
  VectorMetadata metadata;
  metadata.formula = "tuned - base";
  const auto dtype = dtype_from_name(parts.dtype);
  metadata.sparse["w"] = {dtype.value_or(Dtype::kU8), parts.shape};
  std::string offsets(parts.offsets.size() * 8, '\0');
  std::memcpy(offsets.data(), parts.offsets.data(), offsets.size());
  SafetensorsBuilder builder;
  builder.metadata("suture", escaped(encode(metadata)));
  if (!parts.stray.empty()) builder.add(parts.stray, {1, 2});
  if (parts.has_dense) builder.add("w", std::vector<float>(4));
  if (parts.has_offsets) {
    builder.add("w.suture_offsets", parts.offsets_dtype, {size_in(offsets, parts.offsets_dtype)},
                offsets);
  }
  if (parts.has_values) {
    builder.add("w.suture_values", parts.values_dtype, {size_in(parts.values, parts.values_dtype)},
                parts.values);
  }
  if (parts.has_bitmap) {
    builder.add("w.suture_bitmap", parts.bitmap_dtype, {size_in(parts.bitmap, parts.bitmap_dtype)},
                parts.bitmap);
  }
  builder.add("x", {1, 2, 3});
  builder.write(path);
}

SourcePtr open(const TempDir& dir, const Parts& parts) {
  write(parts, dir / "v.safetensors");
  return open_source(Checkpoint::open((dir / "v.safetensors").string()));
}

std::vector<float> read(const TensorSource& source, std::size_t first, std::size_t count) {
  std::vector<float> values(count, 99);
  source.read(*source.find("w"), first * 4, count * 4, values.data());
  return values;
}

TEST(SparseSource, ShowsDenseTensors) {
  const TempDir dir;
  const SourcePtr source = open(dir, good_parts());
  ASSERT_EQ(source->tensors().size(), 2u);
  const TensorInfo* tensor = source->find("w");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->dtype, Dtype::kF32);
  EXPECT_EQ(tensor->shape, (std::vector<std::int64_t>{kElements}));
  EXPECT_EQ(tensor->bytes, 4u * kElements);
  EXPECT_EQ(source->find("w.suture_bitmap"), nullptr);
  EXPECT_FALSE(source->is_in_file(*tensor));
  EXPECT_TRUE(source->is_in_file(*source->find("x")));
  EXPECT_NE(source->checkpoint(), nullptr);
}

TEST(SparseSource, ExpandsAnyRange) {
  const TempDir dir;
  const SourcePtr source = open(dir, good_parts());
  const std::vector<float> dense = dense_values();
  for (const auto& [first, count] :
       std::vector<std::pair<std::size_t, std::size_t>>{{0, kElements},
                                                        {0, 0},
                                                        {0, 1},
                                                        {3, 1},
                                                        {65'535, 2},
                                                        {65'536, 10},
                                                        {1, 69'999},
                                                        {69'999, 1},
                                                        {12'345, 54'321}}) {
    const std::vector<float> values = read(*source, first, count);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(values.data()), count * 4),
              std::string(reinterpret_cast<const char*>(dense.data() + first), count * 4))
        << first;
  }
  thrown_by<UsageError>([&] { read(*source, 69'999, 2); });
  std::vector<float> x(3);
  source->read(*source->find("x"), 0, 12, x.data());
  EXPECT_EQ(x, (std::vector<float>{1, 2, 3}));
}

TEST(SparseSource, RefusesPartsThatDoNotFit) {
  struct Case {
    const char* what;
    std::function<void(Parts&)> damage;
    const char* named;
  };
  const std::vector<Case> cases{
      {"no bitmap", [](Parts& p) { p.has_bitmap = false; }, "w.suture_bitmap"},
      {"no values", [](Parts& p) { p.has_values = false; }, "w.suture_values"},
      {"no offsets", [](Parts& p) { p.has_offsets = false; }, "w.suture_offsets"},
      {"dense too", [](Parts& p) { p.has_dense = true; }, "both dense and sparse"},
      {"short bitmap", [](Parts& p) { p.bitmap.pop_back(); }, "w.suture_bitmap"},
      {"long bitmap", [](Parts& p) { p.bitmap += '\0'; }, "w.suture_bitmap"},
      {"signed bitmap", [](Parts& p) { p.bitmap_dtype = Dtype::kI8; }, "I8"},
      {"values of another dtype", [](Parts& p) { p.values_dtype = Dtype::kI32; }, "I32"},
      {"unsigned offsets", [](Parts& p) { p.offsets_dtype = Dtype::kU64; }, "U64"},
      {"too few offsets", [](Parts& p) { p.offsets.pop_back(); }, "w.suture_offsets"},
      {"too many offsets", [](Parts& p) { p.offsets.push_back(1); }, "w.suture_offsets"},
      {"first offset", [](Parts& p) { p.offsets[0] = 1; }, "before the first block"},
      {"falling offsets", [](Parts& p) { p.offsets[1] = -1; }, "w.suture_offsets"},
      {"more than a block", [](Parts& p) { p.offsets[1] = 65'537; }, "w.suture_offsets"},
      {"more than there are", [](Parts& p) { p.offsets[1] = 60'000; }, "w.suture_offsets"},
      {"negative shape", [](Parts& p) { p.shape = {-1}; }, "shape [-1]"},
      {"a shape beyond 2^64",
       [](Parts& p) {
         p.shape = {1ll << 40, 1ll << 40};
       },
       "shape"},
      {"another shape", [](Parts& p) { p.shape = {kElements * 2}; }, "w.suture_bitmap"},
      {"bytes as dtype", [](Parts& p) { p.dtype = "U8"; }, "dtype"},
  };
  for (const Case& c : cases) {
    const TempDir dir;
    Parts parts = good_parts();
    c.damage(parts);
    const std::string said = thrown_by<FormatError>([&] { open(dir, parts); });
    EXPECT_TRUE(test::is_one_plain_line(said)) << c.what;
    EXPECT_TRUE(holds(said, (dir / "v.safetensors").string())) << c.what;
    EXPECT_TRUE(holds(said, c.named)) << c.what;
  }
}

TEST(SparseSource, RefusesBitsThatTheTableDoesNotExpect) {
  const auto refusal_of = [](const std::function<void(Parts&)>& damage) {
    const TempDir dir;
    Parts parts = good_parts();
    damage(parts);
    const SourcePtr source = open(dir, parts);
    const std::string said =
        thrown_by<FormatError>([&] { read(*source, 0, source->find("w")->elements); });
    EXPECT_TRUE(test::is_one_plain_line(said));
    EXPECT_TRUE(holds(said, (dir / "v.safetensors").string()));
    EXPECT_TRUE(holds(said, "w.suture_bitmap"));
    return said;
  };
  EXPECT_TRUE(holds(refusal_of([](Parts& p) { p.bitmap[0] ^= 2; }), "block 0"));
  EXPECT_TRUE(holds(refusal_of([](Parts& p) { p.bitmap[8200] ^= 2; }), "block 1"));
  EXPECT_TRUE(holds(refusal_of([](Parts& p) { p.offsets[1] -= 1; }), "block 0"));
  // As many bits as there should be, but one beyond the last element.
  EXPECT_TRUE(holds(refusal_of([](Parts& p) {
                      p.shape = {kElements - 1};
                      const auto last = p.bitmap.size() - 1;
                      const auto bit = static_cast<char>(0x80);
                      p.bitmap[last] = static_cast<char>(p.bitmap[last] | bit);
                      p.values += p.values.substr(0, 4);
                    }),
                    "block 1"));
}

// The metadata of a vector of which nothing is listed as sparse, as text.
std::string metadata_without_list() {
  VectorMetadata metadata;
  metadata.formula = "tuned - base";
  return encode(metadata);
}

TEST(SparseSource, RefusesPartsThatNobodyLists) {
  const auto refusal_of = [](const std::string& name, const std::string& metadata) {
    const TempDir dir;
    SafetensorsBuilder()
        .metadata("suture", escaped(metadata))
        .add("x", {1, 2, 3})
        .add(name, {1, 2, 3})
        .write(dir / "v.safetensors");
    const std::string said = thrown_by<FormatError>(
        [&] { open_source(Checkpoint::open((dir / "v.safetensors").string())); });
    EXPECT_TRUE(test::is_one_plain_line(said));
    EXPECT_TRUE(holds(said, name));
    return said;
  };
  for (const char* part : {"w.suture_bitmap", "w.suture_values", "w.suture_offsets"})
    EXPECT_TRUE(holds(refusal_of(part, metadata_without_list()), "an entry for w"));
  // A sparse vector, too, in which another tensor is listed.
  const TempDir dir;
  Parts parts = good_parts();
  parts.stray = "y.suture_values";
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { open(dir, parts); }), "an entry for y"));
}

TEST(SparseSource, TakesATensorOfThatNameBesideTheOneItWouldBeAPartOf) {
  const TempDir dir;
  SafetensorsBuilder()
      .metadata("suture", escaped(metadata_without_list()))
      .add("x", {1, 2, 3})
      .add("x.suture_values", {1, 2, 3})
      .write(dir / "v.safetensors");
  const SourcePtr source = open_source(Checkpoint::open((dir / "v.safetensors").string()));
  EXPECT_NE(source->find("x.suture_values"), nullptr);
}

TEST(SparseSource, CountsTheBytesOfTheParts) {
  const TempDir dir;
  const Parts parts = good_parts();
  const SourcePtr source = open(dir, parts);
  const TensorInfo& tensor = *source->find("w");
  const std::uint64_t all = parts.bitmap.size() + parts.values.size() + 2 * 8;
  EXPECT_EQ(source->bytes_behind(tensor, 0, kElements), all);
  EXPECT_EQ(source->bytes_behind(tensor, 0, kSparseBlock),
            kSparseBlock / 8 + static_cast<std::uint64_t>(parts.offsets[1]) * 4 + 8);
  std::uint64_t added = 0;
  for (std::uint64_t first = 0; first < kElements; first += 999) {
    added += source->bytes_behind(tensor, first, std::min<std::uint64_t>(999, kElements - first));
  }
  EXPECT_EQ(added, all);
  EXPECT_EQ(source->bytes_behind(*source->find("x"), 1, 2), 8u);
  EXPECT_EQ(source->parts_in_file(tensor).size(), 3u);
  EXPECT_TRUE(source->parts_in_file(*source->find("x")).empty());
}

TEST(SparseSource, OfADenseVectorIsTheCheckpoint) {
  const TempDir dir;
  SafetensorsBuilder().add("w", {1, 2}).write(dir / "m.safetensors");
  const SourcePtr source = open_source(Checkpoint::open((dir / "m.safetensors").string()));
  EXPECT_TRUE(source->is_in_file(source->tensors().front()));
}

}  // namespace
}  // namespace suture
