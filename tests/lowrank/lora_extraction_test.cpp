#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/error.h"
#include "suture/lora.h"
#include "suture/surgery.h"

#include "support/model_trio.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using test::entries_of;
using test::holds;
using test::read_file;
using test::same_bits;
using test::thrown_by;

const std::string kPrefix = "base_model.model.";
const std::string kLayer = "model.layers.1.";

class LoraExtraction : public test::ModelTrio {
 protected:
  static LoraOptions rank(std::int64_t rank) {
    LoraOptions options;
    options.rank = rank;
    options.check.allowed = {"kinship"};  // changes here are as large as a test likes them
    return options;
  }

  // By more than bf16's spacing at 1, where norms are.
  void move_norms_and_biases() {
    for (const auto& [name, tensor] : tuned_)
      if (tensor.dim() == 1) tensor.add_(0.125);
  }

  LoraReport run(const LoraOptions& options, const std::string& out = "adapter") {
    return extract_lora(open("tuned"), open("base"), path(out), options);
  }

  StateDict stored(const std::string& out = "adapter") {
    return load(path(out + "/adapter_model.safetensors"));
  }
  Json config(const std::string& out = "adapter") {
    return Json::parse(read_file(dir_ / out / "adapter_config.json"));
  }

  static const LoraTensor& row(const LoraReport& report, const std::string& name) {
    for (const LoraTensor& tensor : report.tensors)
      if (tensor.name == name) return tensor;
    throw std::runtime_error("no " + name);
  }

  // Tuned is the base but for one matrix, which differs by a product of this rank.
  void differ_in_one(std::int64_t of_rank,
                     const std::string& name = kLayer + "mlp.up_proj.weight") {
    model_.dtype = at::kFloat;
    base_ = test::make_weights(model_, 1);
    tuned_ = base_.clone();
    at::Tensor weight = tuned_.at(name);
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(9);
    const at::Tensor up = at::randn({weight.size(0), of_rank}, generator);
    const at::Tensor down = at::randn({of_rank, weight.size(1)}, generator);
    weight += up.mm(down);
    write_all();
  }
};

TEST_F(LoraExtraction, GivesARankRDifferenceBackAtRankR) {
  differ_in_one(3);
  const LoraReport report = run(rank(3));
  const StateDict adapter = stored();
  ASSERT_EQ(adapter.size(), 2u);
  const std::string module = kPrefix + kLayer + "mlp.up_proj.";
  const at::Tensor product =
      adapter.at(module + "lora_B.weight").mm(adapter.at(module + "lora_A.weight"));
  const std::string name = kLayer + "mlp.up_proj.weight";
  EXPECT_TRUE(at::allclose(product, tuned_.at(name) - base_.at(name), 1e-5, 1e-5));
  EXPECT_LT(report.total.relative(), 1e-6);
  EXPECT_EQ(row(report, name).form, LoraForm::kLowRank);
  EXPECT_EQ(row(report, "model.norm.weight").form, LoraForm::kUnchanged);
  EXPECT_EQ(config().at("target_modules"), (Json{kLayer + "mlp.up_proj"}));
  EXPECT_EQ(entries_of(dir_ / "adapter"),
            (std::vector<std::string>{"adapter_config.json", "adapter_model.safetensors",
                                      "suture.json"}));
}

TEST_F(LoraExtraction, KeepsNormsAndBiasesAndEmbeddingToTheBit) {
  move_norms_and_biases();
  write_all();
  const LoraReport report = run(rank(2));
  const StateDict adapter = stored();
  for (const auto& [name, tensor] : tuned_) {
    if (tensor.dim() != 1 && name.find("embed") == std::string::npos) continue;
    const bool bias = name.find("bias") != std::string::npos;
    const std::string stored_name =
        bias ? name.substr(0, name.size() - 4) + "base_layer.bias" : name;
    ASSERT_TRUE(adapter.contains(kPrefix + stored_name)) << name;
    EXPECT_TRUE(at::equal(adapter.at(kPrefix + stored_name), tensor)) << name;
    EXPECT_EQ(row(report, name).form, LoraForm::kWhole) << name;
    EXPECT_EQ(row(report, name).error.residual, 0) << name;
    EXPECT_GT(row(report, name).error.norm, 0) << name;
  }
  EXPECT_EQ(config().at("bias"), "all");
  // Full names: PEFT goes by endings, and `norm` ends others, too. A tied embedding goes once.
  std::vector<std::string> saved = config().at("modules_to_save");
  EXPECT_EQ(saved.size(), 7u);
  EXPECT_EQ(std::count(saved.begin(), saved.end(), "model.norm"), 1);
  EXPECT_FALSE(adapter.contains(kPrefix + "lm_head.weight"));
}

TEST_F(LoraExtraction, ErrorsAddUpByLayer) {
  write_all();
  const LoraReport report = run(rank(2));
  ASSERT_EQ(report.layers.size(), 3u);
  double squares = 0, rest = 0, merged = 0;
  for (const LoraTensor& tensor : report.tensors) {
    if (tensor.name.rfind(kLayer, 0) != 0) continue;
    squares += tensor.error.norm * tensor.error.norm;
    rest += tensor.error.residual * tensor.error.residual;
    merged += tensor.error.merged_residual * tensor.error.merged_residual;
  }
  EXPECT_NEAR(report.layers[1].norm, std::sqrt(squares), 1e-12);
  EXPECT_NEAR(report.layers[1].residual, std::sqrt(rest), 1e-12);
  EXPECT_NEAR(report.layers[1].merged_residual, std::sqrt(merged), 1e-12);
  EXPECT_GT(report.layers[1].relative(), 0.1);
  EXPECT_GT(report.total.norm, report.layers[1].norm);
}

TEST_F(LoraExtraction, EnergyGivesEveryMatrixARankOfItsOwn) {
  write_all();
  LoraOptions options;
  options.energy = 0.8;
  const LoraReport report = run(options);
  const Json ranks = config().at("rank_pattern");
  EXPECT_FALSE(ranks.empty());
  EXPECT_EQ(config().at("alpha_pattern"), ranks);
  for (const LoraTensor& tensor : report.tensors) {
    if (tensor.form != LoraForm::kLowRank) continue;
    EXPECT_GE(tensor.error.kept_energy(), 0.8 - 1e-6) << tensor.name;
    const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
    EXPECT_EQ(tensor.rank, ranks.value(module, config().at("r").get<std::int64_t>()));
  }
}

TEST_F(LoraExtraction, UntiedHeadAndEmbeddingAreSavedOrFactored) {
  test::TinyModel model;
  model.tied = false;
  make(model);
  write_all();
  run(rank(4));
  EXPECT_TRUE(at::equal(stored().at(kPrefix + "lm_head.weight"), tuned_.at("lm_head.weight")));
  LoraOptions options = rank(4);
  options.low_rank_embeddings = true;
  run(options, "small");
  EXPECT_EQ(stored("small").at(kPrefix + "model.embed_tokens.lora_embedding_A").sizes(),
            (std::vector<std::int64_t>{4, 40}));
  EXPECT_EQ(stored("small").at(kPrefix + "model.embed_tokens.lora_embedding_B").sizes(),
            (std::vector<std::int64_t>{16, 4}));
  EXPECT_EQ(stored("small").at(kPrefix + "lm_head.lora_A.weight").sizes(),
            (std::vector<std::int64_t>{4, 16}));
}

// With matrices that are large enough for a sketch.
TEST_F(LoraExtraction, BytesDoNotDependOnThreads) {
  model_.hidden = 256;
  model_.intermediate = 320;
  base_ = test::make_weights(model_, 1);
  tuned_ = test::make_relative(base_, 2);
  write_all();
  LoraOptions options = rank(4);
  options.run.threads = 1;
  run(options, "one");
  options.run.threads = 3;
  run(options, "three");
  EXPECT_EQ(read_file(dir_ / "one" / "adapter_model.safetensors"),
            read_file(dir_ / "three" / "adapter_model.safetensors"));
  EXPECT_EQ(read_file(dir_ / "one" / "suture.json"), read_file(dir_ / "three" / "suture.json"));
}

TEST_F(LoraExtraction, AStoredVectorGivesTheSameAdapter) {
  write_all();
  extract(open("tuned"), open("base"), path("v.safetensors"), {});
  run(rank(4), "direct");
  extract_lora(TaskVector::open(path("v.safetensors")), open("base"), path("stored"), rank(4));
  EXPECT_EQ(read_file(dir_ / "direct" / "adapter_model.safetensors"),
            read_file(dir_ / "stored" / "adapter_model.safetensors"));
}

TEST_F(LoraExtraction, FactorsComeInTheDtypeAskedForWithTheirError) {
  differ_in_one(3);
  LoraOptions options = rank(3);
  options.dtype = Dtype::kBF16;
  const LoraReport report = run(options);
  for (const auto& [name, tensor] : stored()) EXPECT_EQ(tensor.scalar_type(), at::kBFloat16);
  EXPECT_GT(report.total.relative(), 1e-4);
  EXPECT_LT(report.total.relative(), 1e-2);
}

// A head with a bias is one saved module; its tensors are stored once each.
TEST_F(LoraExtraction, AHeadIsSavedWithItsBias) {
  model_.tied = false;
  base_ = test::make_weights(model_, 1);
  base_.set("lm_head.bias", at::zeros({model_.vocab}, model_.dtype));
  tuned_ = test::make_relative(base_, 2);
  tuned_.set("lm_head.bias", at::ones({model_.vocab}, model_.dtype));
  write_all();
  run(rank(2));
  const StateDict adapter = stored();
  EXPECT_TRUE(same_bits(adapter.at(kPrefix + "lm_head.weight"), tuned_.at("lm_head.weight")));
  EXPECT_TRUE(same_bits(adapter.at(kPrefix + "lm_head.bias"), tuned_.at("lm_head.bias")));
  const Json saved = config().at("modules_to_save");
  EXPECT_EQ(std::count(saved.begin(), saved.end(), "lm_head"), 1);
}

TEST_F(LoraExtraction, NamesWhatItHasNoPlaceFor) {
  set_in_all("model.layers.0.mlp.experts.weight", at::ones({2, 3, 4}));
  tuned_.set("model.layers.0.mlp.experts.weight", at::full({2, 3, 4}, 3.0));
  set_in_all("model.layers.0.mlp.scale", at::ones({2, 2}));
  write_all();
  const LoraReport report = run(rank(2));
  std::string left_out;
  for (const std::string& line : report.left_out) left_out += line + "\n";
  EXPECT_TRUE(holds(left_out, "experts.weight (no part of a linear"));
  EXPECT_TRUE(holds(left_out, "norm 9.798"));
  EXPECT_FALSE(holds(left_out, "mlp.scale"));
  const LoraError& error = row(report, "model.layers.0.mlp.experts.weight").error;
  EXPECT_EQ(error.residual, error.norm);
  EXPECT_GT(report.layers[0].residual, 9.7);
}

TEST_F(LoraExtraction, RefusesWhatFitsNothing) {
  write_all();
  const auto refused = [&](const LoraOptions& options, const std::string& out = "adapter") {
    return thrown_by<UsageError>([&] { run(options, out); });
  };
  EXPECT_TRUE(holds(refused({}), "neither a rank nor an energy"));
  EXPECT_TRUE(holds(refused(rank(0)), "a rank of 0"));
  LoraOptions options;
  for (const double energy : {0.0, -1.0, 1.5, std::nan("")}) {
    options.energy = energy;
    EXPECT_TRUE(holds(refused(options), "an energy of"));
  }
  EXPECT_TRUE(holds(refused(rank(2), "a.safetensors"), "a folder"));
  EXPECT_TRUE(holds(refused(rank(2), "base"), "base"));
  options = rank(2);
  options.low_rank_embeddings = true;
  EXPECT_TRUE(holds(refused(options), "tied to the head"));
  options = rank(2);
  options.only = Selection::parse("block=norm");
  EXPECT_TRUE(holds(refused(options), "no weight matrix"));
  EXPECT_FALSE(fs::exists(dir_ / "adapter"));
}

TEST_F(LoraExtraction, RefusesAVectorWithoutAChangedMatrix) {
  tuned_ = base_.clone();
  tuned_.at("model.norm.weight").add_(1);
  write_all();
  const auto run_it = [&] { run(rank(2)); };
  EXPECT_TRUE(holds(thrown_by<UsageError>(run_it), "no weight matrix that differs"));
  EXPECT_FALSE(fs::exists(dir_ / "adapter"));
}

TEST_F(LoraExtraction, RefusesNonFiniteDifferences) {
  tuned_.at(kLayer + "mlp.up_proj.weight")[0][0] = std::nan("");
  write_all();
  const auto run_it = [&] { run(rank(2)); };
  EXPECT_TRUE(holds(thrown_by<UsageError>(run_it), "NaN or infinite"));
  EXPECT_FALSE(fs::exists(dir_ / "adapter"));
}

TEST_F(LoraExtraction, RefusesADtypeThatIsTooNarrowForTheFactors) {
  const std::string name = kLayer + "mlp.up_proj.weight";
  model_.dtype = at::kFloat;
  base_ = test::make_weights(model_, 1);
  tuned_ = base_.clone();
  tuned_.set(name, at::full(base_.at(name).sizes(), 1e10, at::kFloat));
  write_all();
  LoraOptions options = rank(2);
  options.dtype = Dtype::kF16;
  const auto run_it = [&] { run(options); };
  EXPECT_TRUE(holds(thrown_by<UsageError>(run_it), "too large for F16"));
  EXPECT_FALSE(fs::exists(dir_ / "adapter"));
}

TEST_F(LoraExtraction, ADryRunWritesNothingAndTellsTheMost) {
  move_norms_and_biases();
  write_all();
  LoraOptions options = rank(4);
  options.dry_run = true;
  const LoraReport foreseen = run(options);
  EXPECT_FALSE(fs::exists(dir_ / "adapter"));
  const LoraReport report = run(rank(4));
  EXPECT_EQ(foreseen.bytes_written, report.bytes_written);
  EXPECT_EQ(foreseen.rank, report.rank);
  EXPECT_TRUE(foreseen.dry_run);
}

TEST_F(LoraExtraction, ACancelledRunLeavesNothing) {
  write_all();
  std::atomic<bool> cancel{true};
  LoraOptions options = rank(2);
  options.run.cancel = &cancel;
  EXPECT_THROW(run(options), Interrupted);
  EXPECT_EQ(entries_of(dir_.path()), (std::vector<std::string>{"base", "target", "tuned"}));
}

TEST_F(LoraExtraction, ReplacesOnlyWhenAsked) {
  write_all();
  run(rank(2));
  EXPECT_THROW(run(rank(2)), UsageError);
  LoraOptions options = rank(3);
  options.replace_existing = true;
  run(options);
  EXPECT_EQ(config().at("r"), 3);
}

}  // namespace
}  // namespace suture
