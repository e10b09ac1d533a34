#include "surgery/vector_metadata.h"

#include <limits>
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
  json["format_version"] = 2;
  EXPECT_TRUE(
      test::holds(test::thrown_by<FormatError>([&] { decode_vector_metadata(json.dump(), "f"); }),
                  "newer Suture"));
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
