// adapter_config.json: what is taken from it, and what is refused.

#include "lora/adapter_config.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::lora {
namespace {

using test::holds;
using test::is_one_plain_line;
using test::thrown_by;

std::string config_with(const std::string& more) {
  return R"({"peft_type": "LORA", "r": 8, "lora_alpha": 16)" + (more.empty() ? "" : ", " + more) +
         "}";
}

AdapterConfig parse(const std::string& text) { return parse_adapter_config(text, "a.json"); }

double scale_of(const std::string& more, const std::string& module) {
  return ModuleScales(parse(config_with(more)), "a.json").scale_of(module);
}

TEST(AdapterConfig, TakesWhatScales) {
  const AdapterConfig config = parse(config_with(
      R"("use_rslora": true, "fan_in_fan_out": true, "base_model_name_or_path": "org/base")"));
  EXPECT_EQ(config.rank, 8);
  EXPECT_EQ(config.alpha, 16);
  EXPECT_TRUE(config.rslora && config.fan_in_fan_out);
  EXPECT_EQ(config.base_model, "org/base");
}

TEST(AdapterConfig, ScalesByRankOrItsRoot) {
  EXPECT_EQ(scale_of("", "q"), 2);
  EXPECT_EQ(scale_of(R"("use_rslora": true)", "q"), 16 / std::sqrt(8.0));
  EXPECT_EQ(scale_of(R"("rank_pattern": {"q": 4}, "alpha_pattern": {"q": 10})", "a.q"), 2.5);
}

TEST(AdapterConfig, PatternsMatchAsPeftMatches) {
  const auto alpha = [](const std::string& pattern, const std::string& module) {
    return 8 * scale_of("\"alpha_pattern\": {\"" + pattern + "\": 1}", module);
  };
  EXPECT_EQ(alpha("q_proj", "model.layers.0.q_proj"), 1);
  EXPECT_EQ(alpha("q_proj", "q_proj"), 1);
  EXPECT_EQ(alpha("q_proj", "model.big_q_proj"), 16);    // whole parts of the name
  EXPECT_EQ(alpha("q_proj", "model.q_proj.extra"), 16);  // at its end
  EXPECT_EQ(alpha("layers.1", "model.layers.1"), 1);
  EXPECT_EQ(alpha("^model.layers.0.q", "model.layers.0.q"), 1);
  EXPECT_EQ(alpha("^layers.0.q", "model.layers.0.q"), 16);
  EXPECT_EQ(alpha("a|b", "m.b"), 1);
}

TEST(AdapterConfig, TheFirstPatternInTheFileCounts) {
  EXPECT_EQ(8 * scale_of(R"("alpha_pattern": {"z": 1, ".*": 2})", "m.z"), 1);
  EXPECT_EQ(8 * scale_of(R"("alpha_pattern": {".*": 2, "z": 1})", "m.z"), 2);
}

TEST(AdapterConfig, OddNumbersAreRefused) {
  for (const char* text :
       {R"({"peft_type": "LORA", "lora_alpha": 16})", R"({"peft_type": "LORA", "r": 8})",
        R"({"peft_type": "LORA", "r": 0, "lora_alpha": 16})",
        R"({"peft_type": "LORA", "r": -1, "lora_alpha": 16})",
        R"({"peft_type": "LORA", "r": 8.5, "lora_alpha": 16})",
        R"({"peft_type": "LORA", "r": "8", "lora_alpha": 16})",
        R"({"peft_type": "LORA", "r": 99999999999, "lora_alpha": 16})",
        R"({"peft_type": "LORA", "r": 8, "lora_alpha": true})",
        R"({"peft_type": "LORA", "r": 8, "lora_alpha": 1, "use_rslora": 1})",
        R"({"peft_type": "LORA", "r": 8, "lora_alpha": 1, "rank_pattern": {"q": 0}})",
        R"({"peft_type": "LORA", "r": 8, "lora_alpha": 1, "rank_pattern": [1]})",
        R"({"peft_type": "LORA", "r": 8, "lora_alpha": 1, "alpha_pattern": {"q": "x"}})",
        R"({"r": 8, "lora_alpha": 16})", R"([1])", R"({"peft_type": "LORA", "r": 8, "r": 8})", "",
        "{"}) {
    const std::string line = thrown_by<FormatError>([&] { parse(text); });
    EXPECT_TRUE(holds(line, "a.json: ")) << text;
    EXPECT_TRUE(is_one_plain_line(line)) << text;
  }
}

TEST(AdapterConfig, APatternsNumberIsNamed) {
  EXPECT_TRUE(
      holds(thrown_by<FormatError>([] { parse(config_with(R"("rank_pattern": {"q": 0})")); }),
            "the pattern 'q' of rank_pattern is 0"));
  EXPECT_TRUE(
      holds(thrown_by<FormatError>([] { parse(config_with(R"("alpha_pattern": {"v": "x"})")); }),
            "the pattern 'v' of alpha_pattern is \"x\""));
  EXPECT_TRUE(holds(thrown_by<FormatError>([] {
                      parse(R"({"peft_type": "LORA", "r": 1000000000000000000, "lora_alpha": 1})");
                    }),
                    "a whole number from 1 to 1000000"));
}

TEST(AdapterConfig, WhatIsNoSumWithWeightsIsRefused) {
  for (const auto& [more, word] :
       {std::pair{R"("use_dora": true)", "DoRA, which is not linear"},
        std::pair{R"("alora_invocation_tokens": [1, 2])", "aLoRA"},
        std::pair{R"("use_qalora": true)", "QALoRA"},
        std::pair{R"("layer_replication": [[0, 4], [2, 5]])", "repeated layers"},
        std::pair{R"("megatron_config": {"a": 1})", "Megatron"},
        std::pair{R"("target_parameters": ["experts.gate_up_proj"])", "no module's weight"},
        std::pair{R"("trainable_token_indices": [3])", "rows of the embedding"},
        std::pair{R"("init_lora_weights": "pissa")", "'pissa'"},
        std::pair{R"("init_lora_weights": "pissa_niter_16")", "'pissa_niter_16'"},
        std::pair{R"("init_lora_weights": "olora")", "'olora'"},
        std::pair{R"("init_lora_weights": "corda")", "'corda'"},
        std::pair{R"("init_lora_weights": "loftq")", "'loftq'"},
        std::pair{R"("init_lora_weights": "lora_ga")", "'lora_ga'"}}) {
    const std::string line = thrown_by<UsageError>([&] { parse(config_with(more)); });
    EXPECT_TRUE(holds(line, word));
    EXPECT_TRUE(is_one_plain_line(line));
  }
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { parse(R"({"peft_type": "LOHA"})"); }),
                    "a PEFT adapter of type LOHA"));
}

TEST(AdapterConfig, SettingsThatAreOffAreNone) {
  EXPECT_EQ(parse(config_with(R"("use_dora": false, "layer_replication": null,
                                 "target_parameters": [], "megatron_config": {},
                                 "init_lora_weights": true, "rank_pattern": {},
                                 "alpha_pattern": null)"))
                .rank,
            8);
  for (const char* plain : {"\"gaussian\"", "\"eva\"", "\"orthogonal\"", "false", "null"})
    EXPECT_EQ(parse(config_with(std::string("\"init_lora_weights\": ") + plain)).rank, 8);
}

TEST(AdapterConfig, PatternsAreBounded) {
  const AdapterConfig bad = parse(config_with(R"("alpha_pattern": {"(": 1})"));
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { ModuleScales(bad, "a.json"); }),
                    "a.json: the pattern '(' of alpha_pattern"));
  const AdapterConfig slow = parse(config_with(R"("alpha_pattern": {"(a|aa)+[bc]": 1})"));
  EXPECT_TRUE(holds(
      thrown_by<FormatError>([&] { ModuleScales(slow, "a.json").scale_of(std::string(60, 'a')); }),
      "a.json: the pattern '(a|aa)+[bc]' of alpha_pattern, which takes too long"));
  std::string many = R"("alpha_pattern": {)";
  for (int i = 0; i < 10'001; ++i) many += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\": 1";
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { parse(config_with(many + "}")); }),
                    "10001 patterns in alpha_pattern"));
}

TEST(AdapterConfig, ALongFileIsRefusedUnread) {
  const test::TempDir dir;
  test::write_file(dir / "adapter_config.json", "{}");
  std::filesystem::resize_file(dir / "adapter_config.json", std::uintmax_t{4} << 30);
  EXPECT_TRUE(
      holds(thrown_by<FormatError>([&] { read_adapter_config(dir / "adapter_config.json"); }),
            "4294967296"));
}

}  // namespace
}  // namespace suture::lora
