// Adapters as sources of differences, and files that lie about them.

#include "lora/adapter_source.h"

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/task_vector.h"

#include "support/adapter_builder.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::lora {
namespace {

using test::add_counting;
using test::bytes_of_values;
using test::holds;
using test::is_one_plain_line;
using test::SafetensorsBuilder;
using test::simple_factors;
using test::TempDir;
using test::thrown_by;
using test::write_adapter;
using Shape = std::vector<std::int64_t>;

class AdapterSourceTest : public testing::Test {
 protected:
  SourcePtr open() const { return open_adapter((dir / "skill").string(), std::nullopt); }
  SourcePtr open_on_base() const {
    return open_adapter((dir / "skill").string(),
                        Checkpoint::open((dir / "base.safetensors").string()));
  }
  std::string refused() const {
    const std::string line = thrown_by<Error>([&] { open(); });
    EXPECT_TRUE(is_one_plain_line(line));
    return line;
  }

  static std::vector<float> values(const SourcePtr& source, const std::string& name) {
    const TensorInfo* tensor = source->find(name);
    if (tensor == nullptr) return {};
    std::vector<float> out(tensor->elements);
    source->read(*tensor, 0, tensor->bytes, out.data());
    return out;
  }

  TempDir dir;
};

TEST_F(AdapterSourceTest, AWeightIsScaleTimesBTimesA) {
  write_adapter(dir / "skill", simple_factors());
  const SourcePtr source = open();
  ASSERT_EQ(source->tensors().size(), 1u);
  EXPECT_EQ(source->tensors()[0].shape, (Shape{3, 2}));
  EXPECT_EQ(source->tensors()[0].dtype, Dtype::kF32);
  EXPECT_EQ(values(source, "q.weight"), (std::vector<float>{14, 20, 30, 44, 46, 68}));
  EXPECT_EQ(source->name(), "skill");
  EXPECT_EQ(source->adapter()->digest.size(), 32u);
}

TEST_F(AdapterSourceTest, ReadsPartsOfATensor) {
  write_adapter(dir / "skill", simple_factors());
  const SourcePtr source = open();
  float two[2];
  source->read(source->tensors()[0], 3 * sizeof(float), sizeof two, two);
  EXPECT_EQ(two[0], 44);
  EXPECT_EQ(two[1], 46);
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] {
                      source->read(source->tensors()[0], 5 * sizeof(float), sizeof two, two);
                    }),
                    "a read past its end"));
}

TEST_F(AdapterSourceTest, FanInFanOutAndEmbeddingsAreTransposed) {
  write_adapter(dir / "skill", simple_factors(), R"("fan_in_fan_out": true)");
  EXPECT_EQ(open()->tensors()[0].shape, (Shape{2, 3}));
  EXPECT_EQ(values(open(), "q.weight"), (std::vector<float>{14, 30, 46, 20, 44, 68}));
  SafetensorsBuilder weights;
  add_counting(weights, "e.lora_embedding_A", {2, 2});  // of two tokens
  add_counting(weights, "e.lora_embedding_B", {3, 2});  // three wide
  write_adapter(dir / "skill", weights);
  EXPECT_EQ(open()->tensors()[0].shape, (Shape{2, 3}));
  EXPECT_EQ(values(open(), "e.weight"), (std::vector<float>{14, 30, 46, 20, 44, 68}));
}

TEST_F(AdapterSourceTest, ASquareOfNoConv1DIsNotTransposedOnAWord) {
  const auto square = [&](const std::string& module) {
    SafetensorsBuilder weights;
    add_counting(weights, module + ".lora_A.weight", {2, 3});
    add_counting(weights, module + ".lora_B.weight", {3, 2});
    write_adapter(dir / "skill", weights, R"("fan_in_fan_out": true)");
  };
  square("layers.0.q_proj");
  EXPECT_TRUE(holds(refused(), "fan_in_fan_out for a square weight of no Conv1D by its name"));
  square("h.0.attn.c_proj");
  EXPECT_EQ(open()->tensors().size(), 1u);
}

TEST_F(AdapterSourceTest, ABiasOfBIsScaled) {
  SafetensorsBuilder weights = simple_factors();
  add_counting(weights, "q.lora_B.bias", {3});
  write_adapter(dir / "skill", weights);
  EXPECT_EQ(values(open(), "q.bias"), (std::vector<float>{2, 4, 6}));
}

TEST_F(AdapterSourceTest, HalfPrecisionIsWidened) {
  SafetensorsBuilder weights;
  weights.add("base_model.model.q.lora_A.weight", Dtype::kBF16, {2, 1},
              bytes_of_values<std::uint16_t>({0x3F80, 0x4000}));  // 1, 2
  weights.add("base_model.model.q.lora_B.weight", Dtype::kF16, {1, 2},
              bytes_of_values<std::uint16_t>({0x4200, 0x4400}));  // 3, 4
  write_adapter(dir / "skill", weights);
  EXPECT_EQ(values(open(), "q.weight"), (std::vector<float>{22}));
}

TEST_F(AdapterSourceTest, WholeTensorsNeedTheirBase) {
  SafetensorsBuilder weights = simple_factors();
  add_counting(weights, "norm.weight", {2});
  add_counting(weights, "q.base_layer.bias", {3});
  write_adapter(dir / "skill", weights);
  EXPECT_TRUE(holds(refused(), "an adapter that stores tensors whole: norm.weight, q.bias"));
  EXPECT_TRUE(holds(refused(), "'ADAPTER - BASE'"));
  SafetensorsBuilder base;
  base.add("norm.weight", {0.5f, 5.0f}).add("q.bias", {1.0f, 1.0f, 1.0f});
  base.add("q.weight", Dtype::kF64, {3, 2}, bytes_of_values(std::vector<double>(6)));
  base.write(dir / "base.safetensors");
  const SourcePtr source = open_on_base();
  EXPECT_EQ(values(source, "norm.weight"), (std::vector<float>{0.5f, -3.0f}));
  EXPECT_EQ(values(source, "q.bias"), (std::vector<float>{0, 1, 2}));
  EXPECT_EQ(values(source, "q.weight"), (std::vector<float>{14, 20, 30, 44, 46, 68}));
}

TEST_F(AdapterSourceTest, FactorsAreAddedToASavedBase) {
  SafetensorsBuilder weights = simple_factors();
  weights.add("base_model.model.q.base_layer.weight", Dtype::kF32, {3, 2},
              bytes_of_values(std::vector<float>(6, 2.0f)));
  write_adapter(dir / "skill", weights);
  SafetensorsBuilder base;
  base.add("q.weight", Dtype::kF32, {3, 2}, bytes_of_values(std::vector<float>(6, 1.0f)));
  base.write(dir / "base.safetensors");
  EXPECT_EQ(values(open_on_base(), "q.weight"), (std::vector<float>{15, 21, 31, 45, 47, 69}));
  EXPECT_TRUE(open_on_base()->adapter()->whole.empty());
}

TEST_F(AdapterSourceTest, TheBaseMustHaveItsTensors) {
  write_adapter(dir / "skill", simple_factors());
  SafetensorsBuilder base;
  base.add("p.weight", Dtype::kF32, {3, 2}, bytes_of_values(std::vector<float>(6)));
  base.write(dir / "base.safetensors");
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { open_on_base(); }), "did you mean 'p.weight'?"));
  SafetensorsBuilder other;
  other.add("q.weight", Dtype::kF32, {4, 2}, bytes_of_values(std::vector<float>(8)));
  other.write(dir / "base.safetensors");
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { open_on_base(); }),
                    "[3, 2] for q.weight of [4, 2] in base.safetensors"));
}

TEST_F(AdapterSourceTest, BytesAddUpToWhatIsStored) {
  write_adapter(dir / "skill", simple_factors());
  const SourcePtr source = open();
  const TensorInfo& tensor = source->tensors()[0];
  std::uint64_t sum = 0;
  for (std::uint64_t e = 0; e < tensor.elements; ++e) sum += source->bytes_behind(tensor, e, 1);
  EXPECT_EQ(sum, 10 * sizeof(float));
  EXPECT_EQ(source->bytes_behind(tensor, 0, tensor.elements), 10 * sizeof(float));
  ASSERT_EQ(source->parts_in_file(tensor).size(), 2u);
  EXPECT_EQ(source->parts_in_file(tensor)[0]->name, "base_model.model.q.lora_A.weight");
  EXPECT_FALSE(source->is_in_file(tensor));
}

TEST_F(AdapterSourceTest, AChangedFileIsSeen) {
  write_adapter(dir / "skill", simple_factors());
  const SourcePtr source = open();
  source->verify_unchanged();
  simple_factors().write(dir / "skill/adapter_model.safetensors");
  std::filesystem::last_write_time(
      dir / "skill/adapter_model.safetensors",
      std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_FALSE(thrown_by<IoError>([&] { source->verify_unchanged(); }).empty());
}

TEST_F(AdapterSourceTest, TheDigestKnowsSettingsAndTensors) {
  write_adapter(dir / "skill", simple_factors());
  const std::string first = open()->adapter()->digest;
  EXPECT_EQ(open()->adapter()->digest, first);
  write_adapter(dir / "skill", simple_factors(), R"("use_rslora": true)");
  EXPECT_NE(open()->adapter()->digest, first);
}

struct BadFile {
  const char* name;
  std::function<void(SafetensorsBuilder&)> fill;
  const char* line;
};

void PrintTo(const BadFile& bad, std::ostream* out) { *out << bad.name; }

class BadAdapterTest : public AdapterSourceTest, public testing::WithParamInterface<BadFile> {};

TEST_P(BadAdapterTest, IsRefusedInOneLine) {
  SafetensorsBuilder weights;
  GetParam().fill(weights);
  write_adapter(dir / "skill", weights);
  const std::string line = refused();
  EXPECT_TRUE(holds(line, GetParam().line));
  EXPECT_TRUE(holds(line, "adapter_model.safetensors"));
}

SafetensorsBuilder& add_values(SafetensorsBuilder& weights, const std::string& name, Shape shape,
                               const std::vector<float>& numbers) {
  return weights.add("base_model.model." + name, Dtype::kF32, shape, bytes_of_values(numbers));
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadAdapterTest,
    testing::Values(
        BadFile{"NoB",
                [](auto& w) {
                  add_counting(w, "q.lora_A.weight", {2, 2});
                },
                "no factor B of q"},
        BadFile{"NoA",
                [](auto& w) {
                  add_counting(w, "q.lora_B.weight", {3, 2});
                },
                "no factor A of q"},
        BadFile{"BiasAlone", [](auto& w) { add_counting(w, "q.lora_B.bias", {3}); }, "no factor A"},
        BadFile{"RanksOfTheTwo",
                [](auto& w) {
                  add_counting(w, "q.lora_A.weight", {2, 2});
                  add_counting(w, "q.lora_B.weight", {3, 1});
                },
                "[2, 2] against B of [3, 1]"},
        BadFile{"RankOfTheConfig",
                [](auto& w) {
                  add_counting(w, "q.lora_A.weight", {3, 2});
                  add_counting(w, "q.lora_B.weight", {3, 3});
                },
                "rank 3; expected rank 2 by adapter_config.json"},
        BadFile{"NoRank",
                [](auto& w) {
                  add_counting(w, "q.lora_A.weight", {0, 2});
                  add_counting(w, "q.lora_B.weight", {3, 0});
                },
                "rank 0; expected rank 2"},
        BadFile{"Convolution",
                [](auto& w) {
                  add_counting(w, "q.lora_A.weight", {2, 2, 1, 1});
                  add_counting(w, "q.lora_B.weight", {3, 2, 1, 1});
                },
                "adapters of convolutions are not read"},
        BadFile{"BiasShape",
                [](auto& w) {
                  w = simple_factors();
                  add_counting(w, "q.lora_B.bias", {2});
                },
                "one bias for each output"},
        BadFile{"Mixed",
                [](auto& w) {
                  add_counting(w, "q.lora_A.weight", {2, 2});
                  add_counting(w, "q.lora_embedding_B", {3, 2});
                },
                "factors both of an embedding and of a layer"},
        BadFile{"NaN",
                [](auto& w) {
                  add_values(w, "q.lora_A.weight", {2, 1}, {1, NAN});
                  add_counting(w, "q.lora_B.weight", {3, 2});
                },
                "element 1 is NaN"},
        BadFile{
            "Infinity",
            [](auto& w) {
              add_counting(w, "q.lora_A.weight", {2, 1});
              add_values(w, "q.lora_B.weight", {1, 2}, {std::numeric_limits<float>::infinity(), 1});
            },
            "element 0 is infinite"},
        BadFile{"Dora",
                [](auto& w) {
                  w = simple_factors();
                  add_counting(w, "q.lora_magnitude_vector", {3});
                },
                "DoRA, which is not linear"},
        BadFile{"UnknownPart",
                [](auto& w) {
                  w = simple_factors();
                  add_counting(w, "q.lora_diag", {2});
                },
                "a part of no plain LoRA adapter"},
        BadFile{"Prefix", [](auto& w) { w.add("q.lora_A.weight", {1.0f}); },
                "base_model.model. before the base's own name"},
        BadFile{"Dtype",
                [](auto& w) {
                  w.add("base_model.model.q.lora_A.weight", Dtype::kI32, {1, 1},
                        bytes_of_values<std::int32_t>({1}));
                },
                "I32; expected BF16, F16 or F32"},
        BadFile{"WholeTwice",
                [](auto& w) {
                  add_counting(w, "q.bias", {3});
                  add_counting(w, "q.base_layer.bias", {3});
                },
                "a second whole tensor for q.bias"},
        BadFile{"Nothing", [](auto&) {}, "no tensor"}),
    [](const auto& one) { return one.param.name; });

TEST_F(AdapterSourceTest, ATaskVectorOpensIt) {
  write_adapter(dir / "skill", simple_factors());
  const TaskVector vector = 0.5 * TaskVector::open((dir / "skill").string());
  EXPECT_EQ(vector.formula(), "0.5 * skill");
  EXPECT_EQ(vector.names(), (std::vector<std::string>{"q.weight"}));
  EXPECT_EQ(vector.materialize("q.weight").sum().item<float>(), 111);
  EXPECT_NEAR(vector.norm(), std::sqrt(7 * 7 + 10 * 10 + 15 * 15 + 22 * 22 + 23 * 23 + 34 * 34),
              1e-4);
}

}  // namespace
}  // namespace suture::lora
