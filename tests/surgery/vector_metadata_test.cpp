#include "surgery/vector_metadata.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "format/json.h"
#include "support/safetensors_builder.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture {
namespace {

VectorMetadata full() {
  VectorMetadata metadata;
  metadata.formula = "tuned - base";
  metadata.donors = {{"tuned", "a \"b\"\n", std::string(32, '1')}, {"base", "c", ""}};
  metadata.architecture = "Qwen2ForCausalLM";
  metadata.tied_embeddings = true;
  metadata.structure = {{"hidden_size", "16"}};
  metadata.meaning = {{"rope_theta", "1000000.0"}};
  metadata.tokenizer_digest = std::string(32, 'f');
  metadata.base_norms = {{"w", 1.0 / 3}, {"x", 5e-324}};
  metadata.base_sample.tensors = {"w"};
  metadata.base_sample.elements = {100};
  metadata.base_sample.values.assign(32, -0.0f);
  metadata.left_out = {"lm_head.weight (tied)"};
  metadata.sparse = {{"s", {Dtype::kBF16, {2, 3}}}};
  return metadata;
}

TEST(VectorMetadata, ReadsBackFromItsText) {
  const VectorMetadata read = decode_vector_metadata(encode(full()), "f");
  EXPECT_EQ(encode(read), encode(full()));
  EXPECT_EQ(read.donors[0].name, "a \"b\"\n");
  EXPECT_EQ(read.base_norms, full().base_norms);
  EXPECT_EQ(read.base_sample.values, full().base_sample.values);
  EXPECT_EQ(read.left_out, full().left_out);
  EXPECT_TRUE(read.tied_embeddings);
  ASSERT_EQ(read.sparse.size(), 1u);
  EXPECT_EQ(read.sparse.at("s").dtype, Dtype::kBF16);
  EXPECT_EQ(read.sparse.at("s").shape, (std::vector<std::int64_t>{2, 3}));
}

TEST(VectorMetadata, RefusesShapesAndVersionsThatAreNoWholeNumbers) {
  const auto refusal_of = [](const char* key, const format::Json& value) {
    format::Json json = format::Json::parse(encode(full()));
    (std::string(key) == "shape" ? json["sparse"]["s"]["shape"] : json[key]) = value;
    return test::thrown_by<FormatError>([&] { decode_vector_metadata(json.dump(), "f"); });
  };
  for (const char* shape : {"[300.0,500]", "[2,true]", "[null]", "{\"a\":1}", "3", "[[2,3]]"})
    EXPECT_TRUE(test::holds(refusal_of("shape", format::Json::parse(shape)), "whole numbers"));
  EXPECT_TRUE(test::holds(refusal_of("format_version", 2.0), "format 2.0"));
  EXPECT_TRUE(test::holds(refusal_of("format_version", 2.5), "format 2.5"));
}

TEST(VectorMetadata, RefusesTextWithAnyPartMissingOrOfAnotherKind) {
  const format::Json whole = format::Json::parse(encode(full()));
  for (const auto& [key, value] : whole.items()) {
    format::Json lacking = whole, other = whole;
    lacking.erase(key);
    other[key] = value.is_array() ? format::Json(3) : format::Json::array({format::Json::array()});
    for (const format::Json& json : {lacking, other}) {
      EXPECT_TRUE(test::holds(test::thrown_by<FormatError>(
                                  [&] { decode_vector_metadata(json.dump(), "v.safetensors"); }),
                              "v.safetensors"))
          << key;
    }
  }
}

TEST(VectorMetadata, RefusesANewerFormat) {
  format::Json json = format::Json::parse(encode(full()));
  json["format_version"] = 3;
  EXPECT_TRUE(
      test::holds(test::thrown_by<FormatError>([&] { decode_vector_metadata(json.dump(), "f"); }),
                  "newer Suture"));
}

TEST(VectorMetadata, SaysThatItIsSparseByItsFormat) {
  VectorMetadata metadata = full();
  EXPECT_EQ(format::Json::parse(encode(metadata))["format_version"], 2);
  metadata.sparse.clear();
  EXPECT_EQ(format::Json::parse(encode(metadata))["format_version"], 1);
}

TEST(VectorMetadata, NoNormTakesMoreRoomThanTheLongest) {
  std::mt19937_64 random(1);
  const std::size_t room = format::Json(kLongestNorm).dump().size();
  for (int i = 0; i < 100'000; ++i) {
    const double norm = std::abs(std::bit_cast<double>(static_cast<std::uint64_t>(random())));
    EXPECT_LE(format::Json(norm).dump().size(), room) << norm;
    const double usual = std::ldexp(1 + static_cast<double>(random() >> 12), -52 + i % 80 - 60);
    EXPECT_LE(format::Json(usual).dump().size(), room) << usual;
  }
}

TEST(IsVector, TellsVectorsFromModels) {
  const test::TempDir dir;
  test::SafetensorsBuilder().add("w", {1}).write(dir / "m.safetensors");
  test::SafetensorsBuilder().metadata("suture", "{}").add("w", {1}).write(dir / "v.safetensors");
  EXPECT_FALSE(is_vector(Checkpoint::open((dir / "m.safetensors").string())));
  EXPECT_TRUE(is_vector(Checkpoint::open((dir / "v.safetensors").string())));
}

}  // namespace
}  // namespace suture
