#include "surgery/realised_change.h"

#include <cmath>
#include <string>

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "suture/surgery.h"

#include "support/model_trio.h"
#include "support/tensor_bytes.h"

namespace suture {
namespace {

using test::model_files;
using test::read_file;

class Realised : public test::ModelTrio {
 protected:
  InjectReport run(double scale, const std::string& out, const InjectOptions& options = {}) {
    return inject(open("target"), scale * (open("tuned") - open("base")), path(out), options);
  }

  // The definition, by torch: `round(target + scale * v) - target` beside `scale * v`.
  RealisedChange by_torch(double scale, const std::string& prefix, const StateDict& made) const {
    RealisedChange change;
    double wanted_squares = 0, realised_squares = 0, dot = 0;
    for (const auto& [name, target] : target_) {
      if (name.rfind(prefix, 0) != 0) continue;
      const at::Tensor delta = tuned_.at(name).to(at::kFloat) - base_.at(name).to(at::kFloat);
      const at::Tensor wanted = (delta * static_cast<float>(scale)).to(at::kDouble);
      const at::Tensor realised = made.at(name).to(at::kDouble) - target.to(at::kDouble);
      change.elements += static_cast<std::uint64_t>(target.numel());
      change.changed += static_cast<std::uint64_t>((realised != 0).sum().item<std::int64_t>());
      wanted_squares += (wanted * wanted).sum().item<double>();
      realised_squares += (realised * realised).sum().item<double>();
      dot += (wanted * realised).sum().item<double>();
    }
    change.wanted_norm = std::sqrt(wanted_squares);
    change.realised_norm = std::sqrt(realised_squares);
    change.cosine = dot / (change.wanted_norm * change.realised_norm);
    return change;
  }

  static void expect_near(const RealisedChange& found, const RealisedChange& expected) {
    EXPECT_EQ(found.elements, expected.elements);
    EXPECT_EQ(found.changed, expected.changed);
    EXPECT_NEAR(found.wanted_norm, expected.wanted_norm, 1e-9 * expected.wanted_norm);
    EXPECT_NEAR(found.realised_norm, expected.realised_norm, 1e-6 * expected.realised_norm);
    EXPECT_NEAR(found.cosine, expected.cosine, 1e-6);
  }
};

TEST_F(Realised, EqualsTorchByLayer) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf, at::kFloat}) {
    test::TinyModel model;
    model.dtype = dtype;
    make(model);
    write_into(at::toString(dtype), "base", base_);
    write_into(at::toString(dtype), "tuned", tuned_);
    write_into(at::toString(dtype), "target", target_);
    const std::string in = std::string(at::toString(dtype)) + "/";
    const InjectReport report =
        inject(open(in + "target"), 0.3 * (open(in + "tuned") - open(in + "base")), path(in + "o"));
    const StateDict made = load(path(in + "o"));
    expect_near(report.realised.total, by_torch(0.3, "", made));
    ASSERT_EQ(report.realised.layers.size(), 3u);
    for (int layer = 0; layer < 3; ++layer)
      expect_near(report.realised.layers[static_cast<std::size_t>(layer)],
                  by_torch(0.3, "model.layers." + std::to_string(layer) + ".", made));
  }
}

TEST_F(Realised, IsPoorInBf16AndGoodInF32) {
  write_all();
  const InjectReport narrow = run(0.05, "bf16");
  EXPECT_TRUE(narrow.realised.total.is_poor());
  EXPECT_LT(narrow.realised.total.changed_share(), 0.5);
  InjectOptions options;
  options.dtype = Dtype::kF32;
  const InjectReport wide = run(0.05, "f32", options);
  EXPECT_FALSE(wide.realised.total.is_poor());
  EXPECT_GT(wide.realised.total.cosine, 0.9999);
  EXPECT_NEAR(wide.realised.total.norm_ratio(), 1, 1e-4);
}

TEST_F(Realised, CountsOnlyWhatTheVectorReaches) {
  write_all();
  const TaskVector late = (open("tuned") - open("base")).only("layer=1");
  const RealisedChanges realised = inject(open("target"), late, path("out")).realised;
  EXPECT_EQ(realised.layers.at(0).elements, 0u);
  EXPECT_GT(realised.layers.at(1).elements, 0u);
  EXPECT_EQ(realised.total.elements, realised.layers.at(1).elements);
  EXPECT_EQ(realised.outside_layers.elements, 0u);
}

TEST_F(Realised, IsTheSameForAnyThreadsMemoryAndShards) {
  write_all();
  const std::string expected = describe(run(0.4, "one").realised).dump();
  for (const unsigned threads : {1u, 2u, 7u}) {
    for (const std::uint64_t budget : {std::uint64_t{1} << 20, std::uint64_t{1} << 30}) {
      InjectOptions options;
      options.run.threads = threads;
      options.run.memory_budget_bytes = budget;
      options.max_shard_bytes = 3000 * threads;
      options.replace_existing = true;
      EXPECT_EQ(describe(run(0.4, "other", options).realised).dump(), expected);
    }
  }
}

TEST_F(Realised, IsForeseenWithoutWriting) {
  write_all();
  const TaskVector vector = 0.5 * (open("tuned") - open("base"));
  const RealisedChanges found = foresee_change(open("target"), vector);
  const RealisedChanges wanted = run(0.5, "made").realised;
  EXPECT_EQ(describe(found), describe(wanted));
  ASSERT_EQ(found.tensors.size(), wanted.tensors.size());
  double squares = 0;
  for (std::size_t i = 0; i < found.tensors.size(); ++i) {
    EXPECT_EQ(found.tensors[i].first, wanted.tensors[i].first);
    EXPECT_EQ(describe(found.tensors[i].second), describe(wanted.tensors[i].second));
    squares += found.tensors[i].second.realised_norm * found.tensors[i].second.realised_norm;
  }
  EXPECT_NEAR(squares, found.total.realised_norm * found.total.realised_norm, 1e-9 * squares);
  EXPECT_EQ(foresee_change(open("target"), vector.only("layer=0")).layers.size(), 1u);
}

TEST_F(Realised, StandsInTheProvenance) {
  write_all();
  const InjectReport report = run(0.4, "out");
  const auto stored = nlohmann::ordered_json::parse(read_file(dir_ / "out" / "suture.json"));
  EXPECT_EQ(stored.at("realised").dump(), describe(report.realised).dump());
  EXPECT_EQ(stored.at("realised").at("layers").size(), 3u);
}

TEST_F(Realised, StandsInTheMetadataOfASingleFile) {
  write_all();
  for (const double scale : {0.4, 1e-30}) {
    InjectOptions options;
    options.replace_existing = true;
    const InjectReport report = run(scale, "out.safetensors", options);
    const auto stored =
        nlohmann::ordered_json::parse(open("out.safetensors").metadata().at("suture_provenance"));
    EXPECT_EQ(stored.at("realised").dump(), describe(report.realised).dump());
  }
}

// --- Stochastic rounding on models
// -------------------------------------------------------------------

TEST_F(Realised, StochasticRoundingIsRightOnAverage) {
  write_all();
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  const at::Tensor delta = tuned_.at(name).to(at::kFloat) - base_.at(name).to(at::kFloat);
  const at::Tensor wanted = (delta * 0.05f).to(at::kDouble);
  at::Tensor mean = at::zeros_like(wanted);
  constexpr int kSeeds = 100;
  for (int seed = 0; seed < kSeeds; ++seed) {
    InjectOptions options;
    options.stochastic_seed = seed;
    options.replace_existing = true;
    inject(open("target"), 0.05 * (open("tuned") - open("base")).only("name=" + name), path("out"),
           options);
    mean +=
        (load(path("out")).at(name).to(at::kDouble) - target_.at(name).to(at::kDouble)) / kSeeds;
  }
  const double realised =
      (mean * wanted).sum().item<double>() / (wanted * wanted).sum().item<double>();
  EXPECT_NEAR(realised, 1, 0.1);  // to nearest, this is far from one
  InjectOptions nearest;
  const auto plain =
      inject(open("target"), 0.05 * (open("tuned") - open("base")).only("name=" + name),
             path("nearest"), nearest)
          .realised.total;
  EXPECT_GT(std::abs(plain.cosine * plain.norm_ratio() - 1), 0.1);
}

TEST_F(Realised, StochasticRoundingDependsOnTheSeedAlone) {
  write_all();
  InjectOptions options;
  options.stochastic_seed = 7;
  options.run.threads = 1;
  run(0.3, "first", options);
  options.run.threads = 5;
  options.run.memory_budget_bytes = 1;
  run(0.3, "again", options);
  options.max_shard_bytes = 4000;
  run(0.3, "shards", options);
  options.stochastic_seed = 8;
  run(0.3, "other", options);
  run(0.3, "nearest");
  EXPECT_EQ(model_files(dir_ / "first"), model_files(dir_ / "again"));
  EXPECT_TRUE(test::same_bits(load(path("shards")), load(path("first"))));
  EXPECT_FALSE(test::same_bits(load(path("other")), load(path("first"))));
  EXPECT_FALSE(test::same_bits(load(path("nearest")), load(path("first"))));
}

}  // namespace
}  // namespace suture
