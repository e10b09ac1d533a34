#include "suture/attention_heads.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/surgery.h"

#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace suture {
namespace {

constexpr const char* kConfig =
    R"({"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 24, "head_dim": 6})";

class AttentionHeads : public testing::Test {
 protected:
  AttentionHeads() {
    at::manual_seed(5);
    for (const char* layer : {"0", "1"}) {
      const std::string place = std::string("model.layers.") + layer + ".self_attn.";
      base_.set(place + "q_proj.weight", at::randn({24, 24}));
      base_.set(place + "k_proj.weight", at::randn({12, 24}));
      base_.set(place + "o_proj.weight", at::randn({24, 24}));
      base_.set(place + "q_proj.bias", at::randn({24}));
    }
    base_.set("model.layers.0.mlp.up_proj.weight", at::randn({48, 24}));
    for (const auto& [name, tensor] : base_) {
      a_.set(name, tensor + 0.1 * at::randn_like(tensor));
      b_.set(name, tensor + 0.2 * at::randn_like(tensor));
    }
  }

  Checkpoint write(const std::string& name, const StateDict& weights, const std::string& config) {
    std::filesystem::remove_all(dir_ / name);
    std::filesystem::create_directories(dir_ / name);
    save(weights, (dir_ / name / "model.safetensors").string());
    if (!config.empty()) test::write_file(dir_ / name / "config.json", config);
    return Checkpoint::open((dir_ / name).string());
  }

  at::Tensor delta(const StateDict& tuned, const std::string& name) {
    return (tuned.at(name) - base_.at(name)).to(at::kDouble);
  }

  test::TempDir dir_;
  StateDict base_, a_, b_;
};

at::Tensor head(const HeadMeasures& found, const at::Tensor& values, std::int64_t index) {
  return values.narrow(found.along_columns ? 1 : 0, index * found.head_size, found.head_size)
      .flatten();
}

TEST_F(AttentionHeads, EqualsNormsAndCosinesOfSlices) {
  const Checkpoint base = write("base", base_, kConfig);
  const std::vector<AnalyzedVector> vectors{{"a", write("a", a_, "") - base, {}},
                                            {"b", write("b", b_, "") - base, {}}};
  for (const unsigned threads : {1u, 3u}) {
    RunOptions run;
    run.threads = threads;
    const std::vector<HeadMeasures> heads = measure_heads(vectors, run);
    ASSERT_EQ(heads.size(), 6u);
    for (const HeadMeasures& found : heads) {
      EXPECT_EQ(found.head_size, 6);
      EXPECT_EQ(found.along_columns, found.tensor.find("o_proj") != std::string::npos);
      const at::Tensor a = delta(a_, found.tensor), b = delta(b_, found.tensor);
      const auto count = static_cast<std::size_t>(a.size(found.along_columns ? 1 : 0) / 6);
      ASSERT_EQ(found.norms[0].size(), count) << found.tensor;
      for (std::size_t h = 0; h < count; ++h) {
        const at::Tensor x = head(found, a, static_cast<std::int64_t>(h));
        const at::Tensor y = head(found, b, static_cast<std::int64_t>(h));
        EXPECT_NEAR(found.norms[0][h], x.norm().item<double>(), 1e-12);
        EXPECT_NEAR(found.norms[1][h], y.norm().item<double>(), 1e-12);
        EXPECT_NEAR(found.cosines[0][h], (x.dot(y) / (x.norm() * y.norm())).item<double>(), 1e-12);
      }
    }
  }
}

TEST_F(AttentionHeads, AStoredVectorKnowsItsHeads) {
  const Checkpoint base = write("base", base_, kConfig);
  const Checkpoint tuned = write("a", a_, kConfig);
  const std::string path = (dir_ / "vector.safetensors").string();
  extract(tuned, base, path);
  const auto direct = measure_heads({{"a", tuned - base, {}}});
  const auto stored = measure_heads({{"a", TaskVector::open(path), {}}});
  ASSERT_EQ(stored.size(), direct.size());
  for (std::size_t i = 0; i < stored.size(); ++i) EXPECT_EQ(stored[i].norms, direct[i].norms);
}

TEST_F(AttentionHeads, AreNotGuessed) {
  EXPECT_TRUE(measure_heads({{"a", TaskVector::difference(a_, base_), {}}}).empty());
  for (const char* config :
       {R"({"hidden_size": 24})", R"({"hidden_size": 24, "num_attention_heads": 5})"}) {
    const Checkpoint base = write("base", base_, config);
    EXPECT_TRUE(measure_heads({{"a", write("a", a_, "") - base, {}}}).empty()) << config;
  }
  // A size that does not divide a projection leaves that one out.
  const Checkpoint base = write("base", base_, R"({"head_dim": 8})");
  for (const HeadMeasures& found : measure_heads({{"a", write("a", a_, "") - base, {}}}))
    EXPECT_EQ(found.tensor.find("k_proj"), std::string::npos);
}

TEST_F(AttentionHeads, LeavesOutWhatIsNotFinite) {
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  const Checkpoint base = write("base", base_, kConfig);
  a_.at(name)[0][0] = std::numeric_limits<float>::quiet_NaN();
  const auto heads = measure_heads({{"a", write("a", a_, "") - base, {}}});
  for (const HeadMeasures& found : heads)
    for (const double norm : found.norms[0]) EXPECT_TRUE(std::isfinite(norm)) << found.tensor;
}

}  // namespace
}  // namespace suture
