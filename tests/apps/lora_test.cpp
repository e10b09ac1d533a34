// LoRA adapters named where vectors are, run as its users run it.

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/adapter_builder.h"
#include "support/model_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::add_counting;
using test::ended_with;
using test::holds;
using test::Outcome;
using test::read_file;
using test::SafetensorsBuilder;
using test::write_adapter;
using test::write_file;

constexpr const char* kModule = "model.layers.0.self_attn.q_proj";

// Factors of a weight of 16 × 16, in small numbers.
SafetensorsBuilder good_factors(const std::string& module = kModule) {
  SafetensorsBuilder weights;
  for (const auto& [part, shape] :
       {std::pair{".lora_A.weight", std::vector<std::int64_t>{2, 16}},
        std::pair{".lora_B.weight", std::vector<std::int64_t>{16, 2}}}) {
    std::vector<float> values(32);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = (static_cast<float>(i) - 15.0f) / 64.0f;
    weights.add("base_model.model." + module + part, Dtype::kF32, shape,
                test::bytes_of_values(values));
  }
  return weights;
}

class Lora : public test::ModelFamily {
 protected:
  Lora() {
    write_adapter(dir_ / "adapter", good_factors());
    begin_here();
  }

  void expect_refused(const std::vector<std::string>& arguments, const std::string& text,
                      int status = 2) {
    const Outcome outcome = run(arguments);
    EXPECT_TRUE(ended_with(outcome, status));
    EXPECT_TRUE(holds(outcome.err, text));
    EXPECT_TRUE(nothing_left_behind());
  }
};

TEST_F(Lora, IsAVectorWhereverOneIsTaken) {
  EXPECT_TRUE(ended_with(run({"inject", "target", "adapter@0.5", "-o", "new"}), 0));
  EXPECT_TRUE(ended_with(run({"inject", "target", "adapter - base", "-o", "new2"}), 0));
  EXPECT_TRUE(ended_with(run({"analyze", "adapter"}), 0));
  EXPECT_TRUE(holds(run({"analyze", "adapter", "base"}).out, "of its base"));
  EXPECT_TRUE(ended_with(run({"check", "target", "adapter"}), 0));
}

TEST_F(Lora, WithScaleZeroGivesTheTargetBack) {
  ASSERT_TRUE(ended_with(run({"inject", "target", "adapter@0", "-o", "new"}), 0));
  EXPECT_EQ(read_file(dir_ / "new/model.safetensors"),
            read_file(dir_ / "target/model.safetensors"));
}

TEST_F(Lora, ExtractedOrNotGivesTheSameBytes) {
  ASSERT_TRUE(ended_with(run({"extract", "adapter", "base", "-o", "dense.safetensors"}), 0));
  ASSERT_TRUE(ended_with(run({"inject", "target", "dense.safetensors", "-o", "a"}), 0));
  ASSERT_TRUE(ended_with(run({"inject", "target", "adapter", "-o", "b"}), 0));
  EXPECT_EQ(read_file(dir_ / "a/model.safetensors"), read_file(dir_ / "b/model.safetensors"));
  EXPECT_NE(read_file(dir_ / "a/model.safetensors"), read_file(dir_ / "target/model.safetensors"));
}

TEST_F(Lora, ADryRunNamesTheFactors) {
  const Outcome outcome = run({"inject", "target", "adapter", "-o", "new", "--dry-run", "--explain",
                               std::string(kModule) + ".weight"});
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.out, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"));
  EXPECT_TRUE(nothing_left_behind());
}

TEST_F(Lora, FilesBesideItDoNotConfuse) {
  write_file(dir_ / "adapter/config.json", R"({"architectures": ["Other"], "hidden_size": 7})");
  write_file(dir_ / "adapter/optimizer.pt", "no model");
  const Outcome outcome = run({"inject", "target", "adapter", "-o", "new"});
  EXPECT_TRUE(ended_with(outcome, 0));
}

TEST_F(Lora, IsNoModel) {
  expect_refused({"inject", "adapter", "adapter", "-o", "new"}, "a LoRA adapter, not a model");
  expect_refused({"extract", "base", "adapter", "-o", "v.st"}, "a LoRA adapter, not a model");
  expect_refused({"check", "adapter", "base"}, "a LoRA adapter, not a model");
}

TEST_F(Lora, IsNotStoredSparse) {
  expect_refused({"extract", "adapter", "base", "-o", "new", "--sparse"}, "a LoRA adapter");
}

TEST_F(Lora, OutputsNeverTouchIt) {
  expect_refused({"inject", "target", "adapter", "-o", "adapter", "--force"}, "adapter");
  expect_refused({"inject", "target", "adapter - base", "-o", "base", "--force"}, "base");
}

TEST_F(Lora, AModuleThatTheTargetLacksIsNamedWithNearOnes) {
  write_adapter(dir_ / "adapter", good_factors("model.layers.0.self_attn.qproj"));
  begin_here();
  expect_refused({"inject", "target", "adapter", "-o", "new"},
                 "did you mean 'model.layers.0.self_attn.q_proj.weight'", 1);
  expect_refused({"inject", "target", "adapter - base", "-o", "new"},
                 "did you mean 'model.layers.0.self_attn.q_proj.weight'");
}

TEST_F(Lora, HostileConfigsAreRefused) {
  for (const char* config :
       {"", "{", "[]", "null", "{\"peft_type\": 3}", "\xEF\xBB\xBF{}",
        R"({"peft_type": "LORA", "r": 0, "lora_alpha": 4})", R"({"peft_type": "LORA", "r": 2})",
        R"({"peft_type": "LORA", "r": 4, "lora_alpha": 4})",
        R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_dora": true})"}) {
    write_file(dir_ / "adapter/adapter_config.json", config);
    begin_here();
    expect_refused({"inject", "target", "adapter", "-o", "new"}, "adapter_");
  }
  fs::resize_file(dir_ / "adapter/adapter_config.json", std::uintmax_t{4} << 30);
  begin_here();
  expect_refused({"inject", "target", "adapter", "-o", "new"}, "adapter_config.json");
}

TEST_F(Lora, DamagedWeightsAreRefused) {
  const std::string good = read_file(dir_ / "adapter/adapter_model.safetensors");
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{7}, std::size_t{40}, good.size() - 1}) {
    write_file(dir_ / "adapter/adapter_model.safetensors", good.substr(0, bytes));
    begin_here();
    expect_refused({"inject", "target", "adapter", "-o", "new"}, "adapter_model.safetensors");
  }
}

}  // namespace
}  // namespace suture
