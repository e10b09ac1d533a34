#include "surgery/kinship.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/thrown.h"
#include "support/tiny_model.h"

namespace suture {
namespace {

WeightSample sample_of(const StateDict& weights) {
  return sample_weights(*make_source(weights, "model"));
}

// Of tensors of 32 elements, each filled with one value.
WeightSample sample(const std::vector<std::pair<std::string, float>>& tensors) {
  WeightSample made;
  for (const auto& [name, value] : tensors) {
    made.tensors.push_back(name);
    made.elements.push_back(32);
    made.values.insert(made.values.end(), 32, value);
  }
  return made;
}

// A fused tensor of 64 columns: queries, keys and values.
StateDict fused(int rows_of_queries, std::uint64_t seed, bool swapped = false) {
  at::manual_seed(seed);
  const at::Tensor q = at::randn({rows_of_queries, 64}), k = at::randn({16, 64}),
                   v = at::randn({16, 64});
  StateDict weights;
  weights.set("layers.0.self_attn.qkv_proj.weight", at::cat({q, swapped ? v : k, swapped ? k : v}));
  return weights;
}

TEST(WeightSample, TakesMatricesOnlySortedByName) {
  const StateDict weights = test::make_weights({}, 1);
  const WeightSample found = sample_of(weights);
  // In three layers two matrices once and five projections eight times, and the embedding.
  EXPECT_EQ(found.tensors.size(), 3 * (2 + 8 * 5) + 1u);
  EXPECT_TRUE(std::is_sorted(found.tensors.begin(), found.tensors.end()));
  EXPECT_EQ(found.elements.size(), found.tensors.size());
  EXPECT_EQ(found.values.size(), 32 * found.tensors.size());
}

TEST(WeightSample, DependsOnNamesAndShapesAlone) {
  const StateDict weights = test::make_weights({}, 1);
  StateDict reversed, wide;
  std::vector<StateDict::Entry> entries(weights.begin(), weights.end());
  for (auto at = entries.rbegin(); at != entries.rend(); ++at) reversed.set(at->first, at->second);
  for (const auto& [name, tensor] : weights) wide.set(name, tensor.to(at::kDouble));
  EXPECT_EQ(sample_of(reversed).values, sample_of(weights).values);
  EXPECT_EQ(sample_of(wide).values, sample_of(weights).values);
}

TEST(WeightSample, OfNothingToSampleIsEmpty) {
  StateDict weights;
  weights.set("vector", at::ones({4}));
  weights.set("codes", at::ones({4, 4}, at::kByte));
  weights.set("empty", at::ones({0, 4}));
  EXPECT_TRUE(sample_of(weights).empty());
  EXPECT_TRUE(sample_of({}).empty());
}

TEST(WeightSample, StaysSmallForAModelOfManyTensors) {
  StateDict weights;
  for (int i = 0; i < 3000; ++i) weights.set("w" + std::to_string(i), at::ones({2, 2}));
  EXPECT_LE(sample_of(weights).values.size(), 65'536u);
}

TEST(WeightSample, FillsUpWhatASmallTensorLacks) {
  StateDict weights;
  weights.set("w", at::full({1, 2}, 3.f));
  std::vector<float> expected(32);
  expected[0] = expected[1] = 3;
  EXPECT_EQ(sample_of(weights).values, expected);
}

TEST(WeightSample, OfAFusedProjectionIsSpreadOverIt) {
  const WeightSample sample = sample_of(fused(64, 1));
  EXPECT_EQ(sample.tensors.size(), 32u);
  EXPECT_EQ(sample.tensors[3], "layers.0.self_attn.qkv_proj.weight[11/32]");
  EXPECT_TRUE(std::is_sorted(sample.tensors.begin(), sample.tensors.end()));
}

TEST(WeightSample, ReadsBackFromItsText) {
  const WeightSample made = sample_of(test::make_weights({}, 1));
  const WeightSample read = decode_weight_sample(encode(made), "f");
  EXPECT_EQ(read.tensors, made.tensors);
  EXPECT_EQ(read.elements, made.elements);
  EXPECT_EQ(read.values, made.values);
  EXPECT_TRUE(decode_weight_sample(encode(WeightSample()), "f").empty());
}

TEST(WeightSample, RefusesDamagedText) {
  std::string values;
  for (int i = 0; i < 32; ++i) values += "3f800000";
  const auto text = [](const std::string& tensors, const std::string& elements,
                       const std::string& hex) {
    return R"({"tensors":)" + tensors + R"(,"elements":)" + elements + R"(,"values":)" + hex + "}";
  };
  const std::string good = '"' + values + '"';
  ASSERT_NO_THROW(decode_weight_sample(text("[\"a\"]", "[32]", good), "f"));
  for (const std::string& damaged :
       {std::string(), std::string("[]"), std::string("{}"),
        text("[\"a\"]", "[32]", "\"3f800000\""), text("[\"a\"]", "[32]", "\"3f8\""),
        text("[\"a\"]", "[32]", "\"" + values.substr(8) + "3F800000\""),
        text("[\"a\"]", "[32]", "\"" + values.substr(8) + "zz800000\""),
        text("[\"a\",\"b\"]", "[32,32]", good), text("[\"a\"]", "[]", good), text("[]", "[]", good),
        text("\"a\"", "[32]", good), text("[\"a\"]", "[32]", "1"), text("[1]", "[32]", good),
        text("[\"a\"]", "[\"x\"]", good)}) {
    EXPECT_TRUE(test::holds(
        test::thrown_by<FormatError>([&] { decode_weight_sample(damaged, "file.safetensors"); }),
        "file.safetensors"))
        << damaged;
  }
}

TEST(Kinship, IsMeasuredOnTheTensorsOfBoth) {
  const Kinship kinship = kinship_of(sample({{"w", 1}, {"x", 50}}), sample({{"v", 7}, {"w", 4}}));
  EXPECT_EQ(kinship.compared, 32u);
  EXPECT_DOUBLE_EQ(kinship.relative_distance, 0.75);
  EXPECT_DOUBLE_EQ(kinship.cosine, 1);
}

TEST(Kinship, LeavesTensorsOfOtherSizesOut) {
  WeightSample larger = sample({{"w", 2}});
  larger.elements[0] = 33;
  EXPECT_EQ(kinship_of(sample({{"w", 1}}), larger).compared, 0u);
}

TEST(Kinship, LeavesNonFiniteWeightsOut) {
  WeightSample odd = sample({{"w", 1}});
  odd.values[3] = std::numeric_limits<float>::infinity();
  WeightSample other = sample({{"w", 1}});
  other.values[4] = std::nanf("");
  const Kinship kinship = kinship_of(odd, other);
  EXPECT_EQ(kinship.compared, 30u);
  EXPECT_EQ(kinship.relative_distance, 0);
}

TEST(Kinship, OfNothingInCommonComparesNothing) {
  EXPECT_EQ(kinship_of(sample({{"a", 1}}), sample({{"b", 1}})).compared, 0u);
  EXPECT_EQ(kinship_of({}, {}).compared, 0u);
}

NameMapping joins(int rows_of_queries) {
  NameMapping mapping;
  mapping.tensors.push_back({"layers.0.self_attn.qkv_proj.weight",
                             {{"q", 0, rows_of_queries}, {"k", 0, 16}, {"v", 0, 16}}});
  return mapping;
}

TEST(Kinship, OfPartsMeetsEachOfThem) {
  for (const int queries : {16, 64, 224}) {
    const auto parts = kinship_of_parts(sample_of(fused(queries, 1)),
                                        sample_of(fused(queries, 1, true)), joins(queries));
    ASSERT_EQ(parts.size(), 3u) << queries;  // k, q, v
    EXPECT_NEAR(parts[0].kinship.cosine, 0, 0.4);
    EXPECT_EQ(parts[1].kinship.relative_distance, 0);
    EXPECT_NEAR(parts[2].kinship.cosine, 0, 0.4);
    EXPECT_GE(parts[0].kinship.compared, 32u);
    EXPECT_EQ(parts[0].old_name, "k");
    EXPECT_EQ(parts[0].new_name, "layers.0.self_attn.qkv_proj.weight");
  }
}

TEST(Kinship, OfPartsCountsWhatIsThere) {
  StateDict few;
  few.set("x.self_attn.k_proj.weight", at::ones({2, 4}));
  NameMapping mapping;
  mapping.tensors.push_back({"x.self_attn.k_proj.weight", {{"x.self_attn.qkv_proj.weight", 4, 2}}});
  const auto parts = kinship_of_parts(sample_of(few), sample_of(few), mapping);
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].kinship.compared, 8u);
  EXPECT_EQ(parts[0].old_name, "x.self_attn.qkv_proj.weight");
}

TEST(Kinship, OfPartsTakesNoDamagedSampleAtItsWord) {
  WeightSample none = sample({{"layers.0.self_attn.qkv_proj.weight", 1}});
  none.elements[0] = 0;
  EXPECT_TRUE(kinship_of_parts(none, none, joins(16)).empty());
}

TEST(Kinship, OfOthersLeavesRegroupedProjectionsOut) {
  StateDict a = fused(16, 1), b = fused(16, 1, true);
  for (StateDict* one : {&a, &b}) one->set("other", at::ones({4, 8}));
  EXPECT_GT(kinship_of(sample_of(a), sample_of(b)).relative_distance, 0.5);
  EXPECT_EQ(kinship_of_others(sample_of(a), sample_of(b), joins(16)).relative_distance, 0);
  EXPECT_DOUBLE_EQ(kinship_of_others(sample_of(a), sample_of(b), joins(16)).rms, 1);
  // With nothing else, all of it.
  EXPECT_GT(kinship_of_others(sample_of(fused(16, 1)), sample_of(fused(16, 1, true)), joins(16))
                .relative_distance,
            0.5);
}

TEST(Kinship, OfPartsThatAreCutOutIsThatOfTheirTensors) {
  StateDict a, b;
  for (const char* name : {"q", "k", "other"}) a.set(name, at::ones({4, 16}));
  b.set("q", at::ones({4, 16}));
  b.set("k", -at::ones({4, 16}));
  b.set("other", -at::ones({4, 16}));
  NameMapping mapping;
  mapping.tensors.push_back({"q", {{"self_attn.qkv_proj.weight", 0, 4}}});
  mapping.tensors.push_back({"k", {{"x.self_attn.qkv_proj.weight", 4, 4}}});
  const auto parts = kinship_of_parts(sample_of(a), sample_of(b), mapping);
  ASSERT_EQ(parts.size(), 1u);  // the name of q's whole is none of a layer
  EXPECT_EQ(parts[0].name, "k");
  EXPECT_EQ(parts[0].kinship.cosine, -1);
}

TEST(Kinship, TellsFineTuningsFromStrangers) {
  const StateDict base = test::make_weights({}, 1);
  const WeightSample start = sample_of(base);
  const Kinship near = kinship_of(sample_of(test::make_relative(base, 2)), start);
  const Kinship far = kinship_of(sample_of(test::make_weights({}, 9)), start);
  EXPECT_LT(near.relative_distance, kStrangerDistance / 5);
  EXPECT_NEAR(far.relative_distance, std::sqrt(2.0), 0.3);
  EXPECT_LT(std::abs(far.cosine), 0.2);
}

}  // namespace
}  // namespace suture
