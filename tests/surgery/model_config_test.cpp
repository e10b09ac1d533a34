#include "surgery/model_config.h"

#include <string>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::TempDir;
using test::thrown_by;

ModelConfig read(const std::string& text) {
  const TempDir dir;
  test::write_file(dir / "config.json", text);
  return read_model_config(dir.path()).value();
}

std::string refused(const std::string& text) {
  return thrown_by<FormatError>([&] { read(text); });
}

TEST(ModelConfig, IsNothingWithoutAFile) {
  const TempDir dir;
  EXPECT_FALSE(read_model_config(dir.path()));
  EXPECT_FALSE(read_model_config({}));
}

TEST(ModelConfig, TellsWhatMattersForSurgery) {
  const ModelConfig config = read(R"({"architectures": ["Qwen2ForCausalLM"], "vocab_size": 151936,
      "num_hidden_layers": 24, "tie_word_embeddings": true, "hidden_size": 896,
      "rope_theta": 1000000, "rms_norm_eps": 1e-6, "hidden_act": "silu", "unknown": [1, {}]})");
  EXPECT_EQ(config.architecture, "Qwen2ForCausalLM");
  EXPECT_EQ(config.vocab_size, 151936);
  EXPECT_EQ(config.layers, 24);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.quantization, "");
  EXPECT_EQ(config.structure.at("hidden_size"), "896");
  EXPECT_EQ(config.meaning.at("rope_theta"), "1000000.0");
  EXPECT_EQ(config.meaning.at("rms_norm_eps"), "1e-06");
  EXPECT_EQ(config.meaning.at("hidden_act"), "\"silu\"");
}

TEST(ModelConfig, OfAnEmptyObjectIsSilent) {
  const ModelConfig config = read("{}");
  EXPECT_EQ(config.architecture, "");
  EXPECT_EQ(config.vocab_size, std::nullopt);
  EXPECT_EQ(config.layers, std::nullopt);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_TRUE(config.structure.empty());
}

TEST(ModelConfig, LooksIntoTheTextPartOfACompositeModel) {
  const ModelConfig config = read(R"({"architectures": ["Gemma3ForConditionalGeneration"],
      "text_config": {"hidden_size": 64, "num_hidden_layers": 3, "tie_word_embeddings": true},
      "vision_config": {"hidden_size": 7}})");
  EXPECT_EQ(config.structure.at("hidden_size"), "64");
  EXPECT_EQ(config.layers, 3);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_FALSE(read(R"({"tie_word_embeddings": false,
                        "text_config": {"tie_word_embeddings": true}})")
                   .tied_embeddings);
}

TEST(ModelConfig, RefusesCountsThatNoModelHas) {
  for (const char* value : {"\"896\"", "-1", "0", "1.5", "[]", "true", "1e10", "99999999999"}) {
    EXPECT_TRUE(holds(refused("{\"hidden_size\": " + std::string(value) + "}"), "hidden_size"))
        << value;
  }
  EXPECT_TRUE(holds(refused(R"({"num_attention_heads": 0})"), "num_attention_heads"));
  EXPECT_TRUE(holds(refused(R"({"text_config": {"vocab_size": -5}})"), "vocab_size"));
  EXPECT_NO_THROW(read(R"({"head_dim": null})"));
}

TEST(ModelConfig, RefusesWhatIsNoConfig) {
  for (const char* text : {"", "[]", "null", "{", "{\"a\":1,\"a\":2}", "\xFF"})
    EXPECT_TRUE(holds(refused(text), "config.json")) << text;
}

TEST(ModelConfig, RefusesAFileBeyondItsLimit) {
  const TempDir dir;
  test::write_file(dir / "config.json", "{}");
  std::filesystem::resize_file(dir / "config.json", (16u << 20) + 1);
  thrown_by<FormatError>([&] { read_model_config(dir.path()); });
}

TEST(ModelConfig, TakesOddTypesWhereTheyDoNotMatter) {
  const ModelConfig config = read(R"({"architectures": "Qwen2ForCausalLM",
      "tie_word_embeddings": "yes", "rope_scaling": 4, "rope_parameters": [], "text_config": 3})");
  EXPECT_EQ(config.architecture, "");
  EXPECT_FALSE(config.tied_embeddings);
}

TEST(ModelConfig, NamesTheQuantisation) {
  EXPECT_EQ(read(R"({"quantization_config": {"quant_method": "awq"}})").quantization, "awq");
  EXPECT_EQ(read(R"({"quantization_config": {}})").quantization, "unknown");
  EXPECT_EQ(read(R"({"quantization_config": true})").quantization, "unknown");
  EXPECT_EQ(read(R"({"quantization_config": null})").quantization, "");
}

TEST(ModelConfig, SettingsThatAreSilentHaveTheirDefault) {
  const auto silent = read("{}").meaning, stated = read(R"({"sliding_window": null,
      "attn_logit_softcapping": null, "final_logit_softcapping": null, "rope_theta": 10000})")
                                                       .meaning;
  EXPECT_EQ(silent, stated);
}

}  // namespace
}  // namespace suture
