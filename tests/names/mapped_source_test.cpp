#include "names/mapped_source.h"

#include <cstring>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/state_dict.h"

#include "core/scalar_type.h"
#include "support/temp_dir.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::same_bits;
using test::thrown_by;

class MappedSource : public testing::Test {
 protected:
  MappedSource() {
    weights_.set("a", at::arange(12, at::kFloat).view({4, 3}).to(at::kBFloat16));
    weights_.set("b", at::arange(6, at::kFloat).view({2, 3}).to(at::kBFloat16) + 100);
    weights_.set("c", at::full({1, 3}, 0.1, at::kFloat));
    weights_.set("d", at::full({1, 3}, 0.1, at::kDouble));
    weights_.set("s", at::full({}, 7, at::kFloat));
    save(weights_, (dir_ / "m.safetensors").string());
  }

  std::vector<SourcePtr> sources() const {
    return {make_source(weights_, "m"),
            make_source(Checkpoint::open((dir_ / "m.safetensors").string()))};
  }

  // All of a tensor, read at once and an element at a time.
  static at::Tensor read(const TensorSource& source, const std::string& name) {
    const TensorInfo& info = *source.find(name);
    const at::Tensor whole = at::empty(info.shape, *scalar_type_of(info.dtype));
    source.read(info, 0, info.bytes, whole.mutable_data_ptr());
    const at::Tensor pieces = at::empty_like(whole);
    const auto width = static_cast<std::uint64_t>(bytes_of(info.dtype));
    for (std::uint64_t i = 0; i < info.elements; ++i)
      source.read(info, i * width, width,
                  static_cast<char*>(pieces.mutable_data_ptr()) + i * width);
    EXPECT_TRUE(same_bits(whole, pieces)) << name;
    return whole;
  }

  static std::string refusal(const NameMapping& mapping) {
    StateDict weights;
    weights.set("a", at::zeros({4, 3}));
    weights.set("b", at::zeros({2, 2}));
    weights.set("i", at::zeros({2, 3}, at::kInt));
    return thrown_by<UsageError>([&] { rename_source(make_source(weights, "m"), mapping); });
  }

  test::TempDir dir_;
  StateDict weights_;
};

NameMapping of(std::vector<NameMapping::Tensor> tensors) {
  NameMapping mapping;
  mapping.tensors = std::move(tensors);
  return mapping;
}

TEST_F(MappedSource, RenamesCutsAndJoins) {
  for (const SourcePtr& source : sources()) {
    const SourcePtr mapped =
        rename_source(source, of({{"top", {{"a", 0, 1}}},
                                  {"rest", {{"a", 1, 3}}},
                                  {"e", {{"s", 0, 1}}},
                                  {"bab", {{"b", 0, 2}, {"a", 2, 1}, {"b", 1, 1}}},
                                  {"gone", {{"z", 0, 1}}}}));
    const at::Tensor a = weights_.at("a"), b = weights_.at("b");
    EXPECT_TRUE(same_bits(read(*mapped, "top"), a.narrow(0, 0, 1)));
    EXPECT_TRUE(same_bits(read(*mapped, "rest"), a.narrow(0, 1, 3)));
    EXPECT_TRUE(same_bits(read(*mapped, "e"), weights_.at("s")));
    EXPECT_TRUE(
        same_bits(read(*mapped, "bab"), at::cat({b, a.narrow(0, 2, 1), b.narrow(0, 1, 1)})));
    EXPECT_TRUE(same_bits(read(*mapped, "c"), weights_.at("c")));
    for (const char* name : {"a", "b", "s", "gone"}) EXPECT_EQ(mapped->find(name), nullptr) << name;
    EXPECT_EQ(mapped->tensors().size(), 6u);
    EXPECT_EQ(mapped->name(), source->name());
    EXPECT_EQ(mapped->stored_as(*mapped->find("rest")), "rows 1 to 4 of a");
    EXPECT_EQ(mapped->stored_as(*mapped->find("e")), "s");
    EXPECT_EQ(mapped->stored_as(*mapped->find("bab")), "b + a + b");
    EXPECT_EQ(mapped->stored_as(*mapped->find("c")), "");
  }
}

TEST_F(MappedSource, RowsStandInTheFileAsBefore) {
  const SourcePtr source = sources()[1];
  const SourcePtr mapped =
      rename_source(source, of({{"rest", {{"a", 1, 3}}}, {"ab", {{"a", 0, 4}, {"b", 0, 2}}}}));
  const TensorInfo& rest = *mapped->find("rest");
  EXPECT_TRUE(mapped->is_in_file(rest));
  EXPECT_EQ(rest.offset, source->find("a")->offset + 3 * 2);
  EXPECT_EQ(rest.bytes, 9u * 2);
  EXPECT_EQ(mapped->bytes_behind(rest, 0, 9), 18u);
  const TensorInfo& ab = *mapped->find("ab");
  EXPECT_FALSE(mapped->is_in_file(ab));
  EXPECT_EQ(mapped->bytes_behind(ab, 0, 18), 36u);
  EXPECT_EQ(mapped->bytes_behind(ab, 0, 13) + mapped->bytes_behind(ab, 13, 5), 36u);
  const auto parts = mapped->parts_in_file(ab);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[1]->name, "b");
}

TEST_F(MappedSource, RowsOfATensorInMemoryAreThere) {
  const SourcePtr mapped = rename_source(
      sources()[0], of({{"rest", {{"a", 1, 3}}}, {"ab", {{"a", 0, 4}, {"b", 0, 2}}}}));
  const TensorInfo& rest = *mapped->find("rest");
  ASSERT_NE(mapped->in_memory(rest), nullptr);
  EXPECT_EQ(mapped->first_in_memory(rest), 3u);
  EXPECT_EQ(mapped->in_memory(*mapped->find("ab")), nullptr);
  // Once more, of what has been renamed.
  const SourcePtr twice = rename_source(mapped, of({{"last", {{"rest", 2, 1}}}}));
  EXPECT_EQ(twice->first_in_memory(*twice->find("last")), 9u);
  EXPECT_TRUE(same_bits(read(*twice, "last"), weights_.at("a").narrow(0, 3, 1)));
}

TEST_F(MappedSource, PartsOfSeveralDtypesAreWidened) {
  for (const SourcePtr& source : sources()) {
    const SourcePtr mapped = rename_source(
        source,
        of({{"ac", {{"a", 0, 4}, {"c", 0, 1}}}, {"bcd", {{"b", 0, 2}, {"c", 0, 1}, {"d", 0, 1}}}}));
    EXPECT_TRUE(same_bits(read(*mapped, "ac"),
                          at::cat({weights_.at("a").to(at::kFloat), weights_.at("c")})));
    EXPECT_TRUE(same_bits(read(*mapped, "bcd"),
                          at::cat({weights_.at("b").to(at::kDouble),
                                   weights_.at("c").to(at::kDouble), weights_.at("d")})));
  }
}

TEST_F(MappedSource, MaskedPartsAreZeroAndNotRead) {
  for (const SourcePtr& source : sources()) {
    const SourcePtr mapped = rename_source(source, of({{"ab", {{"a", 0, 4}, {"b", 0, 2}}}}), {"a"});
    EXPECT_TRUE(same_bits(read(*mapped, "ab"),
                          at::cat({at::zeros_like(weights_.at("a")), weights_.at("b")})));
    EXPECT_EQ(mapped->bytes_behind(*mapped->find("ab"), 0, 18), 12u);
    EXPECT_EQ(mapped->stored_as(*mapped->find("ab")), "zeros for a + b");
  }
}

TEST_F(MappedSource, AbsentPartsMayBeZero) {
  const NameMapping mapping =
      of({{"xaz", {{"x", 0, 1}, {"a", 1, 2}, {"z", 0, 2}}}, {"y", {{"x", 0, 1}}}});
  for (const SourcePtr& source : sources()) {
    const SourcePtr mapped = rename_source(source, mapping, {}, Absent::kZero);
    const at::Tensor rows = weights_.at("a").slice(0, 1, 3);
    const auto zeros = [&](std::int64_t count) { return at::zeros({count, 3}, at::kBFloat16); };
    EXPECT_TRUE(same_bits(read(*mapped, "xaz"), at::cat({zeros(1), rows, zeros(2)})));
    EXPECT_EQ(mapped->bytes_behind(*mapped->find("xaz"), 0, 15), 12u);
    EXPECT_EQ(mapped->stored_as(*mapped->find("xaz")), "zeros for x + a + zeros for z");
    EXPECT_EQ(mapped->find("y"), nullptr);
    EXPECT_TRUE(holds(thrown_by<UsageError>([&] { rename_source(source, mapping); }), "or none"));
  }
}

TEST_F(MappedSource, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(holds(refusal(of({{"x", {{"a", 2, 3}}}})), "3 rows from row 2 on"));
  EXPECT_TRUE(holds(refusal(of({{"x", {{"a", -1, 1}}}})), "rows"));
  EXPECT_TRUE(holds(refusal(of({{"x", {{"a", INT64_MAX, INT64_MAX}}}})), "rows from row"));
  EXPECT_TRUE(holds(refusal(of({{"x", {{"a", 0, 4}, {"z", 0, 1}}}})), "all 2, or none"));
  EXPECT_TRUE(holds(refusal(of({{"x", {{"a", 0, 4}, {"b", 0, 2}}}})), "rows like those of a"));
  EXPECT_TRUE(holds(refusal(of({{"x", {{"i", 0, 1}}}})), "floats"));
  EXPECT_TRUE(holds(refusal(of({{"b", {{"a", 0, 4}}}})), "two tensors of this name"));
  EXPECT_TRUE(holds(refusal(of({{"x", {}}})), "without parts"));
}

}  // namespace
}  // namespace suture
