#include "support/extract.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/surgery.h"

#include "support/tensor_bytes.h"
#include "support/thrown.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::entries_of;
using test::Extract;
using test::holds;
using test::read_file;
using test::same_bits;
using test::thrown_by;

TEST_F(Extract, HoldsTheFloat32Difference) {
  write_all();
  const ExtractReport report = run("v.safetensors");
  StateDict vector;
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : load(path("v.safetensors"))) {
    vector.set(name, tensor.to(at::kFloat));
    bytes += tensor.nbytes();
  }
  StateDict expected;
  for (const auto& [name, tensor] : tuned_)
    expected.set(name, tensor.to(at::kFloat) - base_.at(name).to(at::kFloat));
  EXPECT_TRUE(same_bits(vector, expected));
  EXPECT_EQ(report.tensors, base_.size());
  EXPECT_EQ(report.widened_tensors, 0u);
  EXPECT_EQ(report.inexact_elements, 0u);
  EXPECT_GT(report.changed_elements, 0u);
  double squares = 0, base_squares = 0;
  std::uint64_t elements = 0, changed = 0;
  for (const auto& [name, delta] : expected) {
    squares += delta.to(at::kDouble).square().sum().item<double>();
    base_squares += base_.at(name).to(at::kDouble).square().sum().item<double>();
    elements += static_cast<std::uint64_t>(delta.numel());
    changed += static_cast<std::uint64_t>(at::count_nonzero(delta).item<std::int64_t>());
  }
  EXPECT_EQ(report.elements, elements);
  EXPECT_EQ(report.changed_elements, changed);
  EXPECT_NEAR(report.norm, std::sqrt(squares), 1e-12 * report.norm);
  EXPECT_NEAR(report.base_norm, std::sqrt(base_squares), 1e-12 * report.base_norm);
  EXPECT_EQ(report.bytes_written, bytes);
}

TEST_F(Extract, WritesAFolderWithTheTokenizerBesideIt) {
  write_all();
  run("v");
  EXPECT_EQ(entries_of(dir_ / "v"),
            (std::vector<std::string>{"task_vector.safetensors", "tokenizer.json"}));
  EXPECT_EQ(read_file(dir_ / "v" / "tokenizer.json"), read_file(dir_ / "tuned" / "tokenizer.json"));
  EXPECT_EQ(TaskVector::open(path("v")).names().size(), base_.size());
}

TEST_F(Extract, SplitsALargeVector) {
  write_all();
  ExtractOptions options;
  options.max_shard_bytes = 8000;
  run("v", options);
  run("whole.safetensors");
  EXPECT_TRUE(fs::exists(dir_ / "v" / "task_vector.safetensors.index.json"));
  EXPECT_TRUE(same_bits(load(path("v")), load(path("whole.safetensors"))));
}

TEST_F(Extract, StoresMatchedRowsInTheDtypeOfTheirDonors) {
  test::TinyModel wide;
  wide.dtype = at::kDouble;
  make(wide);
  write_all();
  std::string other = test::tokenizer_json(model_.vocab);  // its first row has no partner
  test::write_file(dir_ / "tuned" / "tokenizer.json", other.replace(other.find("t0"), 2, "x0"));
  ExtractOptions options;
  options.check.vocabulary = VocabularyPolicy::kCommon;
  run("v.safetensors", options);
  const at::Tensor rows = load(path("v.safetensors")).at("model.embed_tokens.weight");
  EXPECT_EQ(rows.scalar_type(), at::kDouble);
  EXPECT_EQ(rows[0].count_nonzero().item<std::int64_t>(), 0);
}

TEST_F(Extract, SaysWhereTheVectorComesFrom) {
  write_all();
  run("v.safetensors");
  const VectorMetadata metadata = require_vector(open("v.safetensors"));
  EXPECT_EQ(metadata.formula, "tuned - base");
  ASSERT_EQ(metadata.donors.size(), 2u);
  EXPECT_EQ(metadata.donors[0].role, "tuned");
  EXPECT_EQ(metadata.donors[1].name, "base");
  EXPECT_EQ(metadata.donors[0].digest.size(), 32u);
  EXPECT_NE(metadata.donors[0].digest, metadata.donors[1].digest);
  EXPECT_EQ(metadata.architecture, "Qwen2ForCausalLM");
  EXPECT_TRUE(metadata.tied_embeddings);
  EXPECT_EQ(metadata.tokenizer_digest.size(), 32u);
  EXPECT_EQ(metadata.structure.at("hidden_size"), "16");
  EXPECT_EQ(metadata.meaning.at("rope_theta"), "1000000.0");
  EXPECT_EQ(metadata.base_norms.size(), base_.size());
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  EXPECT_NEAR(metadata.base_norms.at(name), base_.at(name).to(at::kDouble).norm().item<double>(),
              1e-12);
  EXPECT_FALSE(metadata.base_sample.empty());
}

TEST_F(Extract, DigestsFollowTheContentAndNotTheFiles) {
  write_all();
  write_into("copy", "tuned", tuned_, 4000);
  StateDict other = tuned_.clone();
  other.at("model.norm.weight")[0] += 1;
  write_into("other", "tuned", other);
  const auto digest_of = [&](const fs::path& tuned) {
    const std::string out = path("d.safetensors");
    ExtractOptions options;
    options.replace_existing = true;
    extract(Checkpoint::open(tuned.string()), open("base"), out, options);
    return require_vector(Checkpoint::open(out)).donors[0].digest;
  };
  EXPECT_EQ(digest_of(dir_ / "copy" / "tuned"), digest_of(dir_ / "tuned"));
  EXPECT_NE(digest_of(dir_ / "other" / "tuned"), digest_of(dir_ / "tuned"));
}

TEST_F(Extract, StoresOnlyWhatIsSelectedAndNamesTheRest) {
  write_all();
  ExtractOptions options;
  options.only = Selection::parse("layer=1 & block=mlp");
  const ExtractReport report = run("v.safetensors", options);
  EXPECT_EQ(load(path("v.safetensors")).size(), 3u);
  EXPECT_EQ(report.tensors, 3u);
  EXPECT_EQ(report.left_out.size(), base_.size() - 3);
  EXPECT_TRUE(holds(report.left_out.front(), "not selected"));
  EXPECT_TRUE(holds(require_vector(open("v.safetensors")).formula, "layer=1 & block=mlp"));
}

TEST_F(Extract, RefusesASelectionOfNothing) {
  write_all();
  ExtractOptions options;
  options.only = Selection::parse("layer=7");
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { run("v.safetensors", options); }), "layer 7"));
  EXPECT_FALSE(fs::exists(dir_ / "v.safetensors"));
}

TEST_F(Extract, LeavesATiedHeadOut) {
  set_in_all("lm_head.weight", base_.at("model.embed_tokens.weight"));
  write_all();
  const ExtractReport report = run("v.safetensors");
  EXPECT_FALSE(load(path("v.safetensors")).contains("lm_head.weight"));
  ASSERT_EQ(report.left_out.size(), 1u);
  EXPECT_TRUE(holds(report.left_out[0], "lm_head.weight (tied to the embedding)"));
}

TEST_F(Extract, KeepsAHeadOfItsOwn) {
  test::TinyModel model;
  model.tied = false;
  make(model);
  write_all();
  run("v.safetensors");
  EXPECT_TRUE(load(path("v.safetensors")).contains("lm_head.weight"));
}

TEST_F(Extract, EqualIntegersAreLeftOutAndNamed) {
  set_in_all("model.ids", at::arange(5, at::kLong));
  set_in_all("model.mask", at::ones({3}, at::kBool));
  write_all();
  const ExtractReport report = run("v.safetensors");
  EXPECT_FALSE(load(path("v.safetensors")).contains("model.ids"));
  ASSERT_EQ(report.left_out.size(), 2u);
  EXPECT_TRUE(holds(report.left_out[0] + report.left_out[1], "model.ids (I64, equal in both)"));
}

TEST_F(Extract, DifferentIntegersAreRefused) {
  set_in_all("model.ids", at::arange(5, at::kLong));
  tuned_.set("model.ids", at::arange(1, 6, at::kLong));
  write_all();
  const auto before = entries_of(dir_.path());
  EXPECT_TRUE(holds(thrown_by<CompatibilityError>([&] { run("v.safetensors"); }), "model.ids"));
  EXPECT_EQ(entries_of(dir_.path()), before);
}

TEST_F(Extract, EightBitFloatsAreCarriedAndNeverComputedOn) {
  set_in_all("model.layers.0.codes", at::ones({4}).to(at::kFloat8_e4m3fn));
  write_all();
  const ExtractReport report = run("v.safetensors");
  EXPECT_FALSE(load(path("v.safetensors")).contains("model.layers.0.codes"));
  EXPECT_TRUE(holds(report.left_out.at(0), "F8_E4M3"));
}

TEST_F(Extract, DryRunWritesNothing) {
  write_all();
  const auto before = entries_of(dir_.path());
  ExtractOptions options;
  options.dry_run = true;
  const ExtractReport report = run("v", options);
  EXPECT_EQ(entries_of(dir_.path()), before);
  EXPECT_EQ(report.tensors, base_.size());
  EXPECT_EQ(report.bytes_written, run("w").bytes_written);
}

TEST_F(Extract, GivesTheSameBytesForAnyThreadsMemoryAndSharding) {
  test::TinyModel model;
  model.hidden = 64;
  model.vocab = 4000;
  make(model);
  write_all();
  write_into("split", "tuned", tuned_, 100'000);
  write_into("split", "base", base_, 70'000);
  run("expected.safetensors");
  const std::string expected = read_file(dir_ / "expected.safetensors");
  ExtractOptions options;
  options.replace_existing = true;
  for (const unsigned threads : {1u, 2u, 7u}) {
    for (const std::uint64_t budget : {1ull << 20, 8ull << 20, 512ull << 20}) {
      options.run.threads = threads;
      options.run.memory_budget_bytes = budget;
      run("v.safetensors", options);
      EXPECT_EQ(read_file(dir_ / "v.safetensors"), expected) << threads << " " << budget;
    }
  }
  extract(open("split/tuned"), open("split/base"), path("v.safetensors"), options);
  const StateDict split = load(path("v.safetensors"));
  EXPECT_TRUE(same_bits(split, load(path("expected.safetensors"))));
  EXPECT_EQ(require_vector(open("v.safetensors")).donors[0].digest,
            require_vector(open("expected.safetensors")).donors[0].digest);
}

TEST_F(Extract, RefusesStrangersAndLeavesNothing) {
  tuned_ = test::make_weights(model_, 99);
  write_all();
  const auto before = entries_of(dir_.path());
  EXPECT_TRUE(holds(thrown_by<IncompatibleModels>([&] { run("v"); }), "kinship"));
  EXPECT_EQ(entries_of(dir_.path()), before);
  ExtractOptions options;
  options.check.allowed.insert("kinship");
  EXPECT_NO_THROW(run("v", options));
}

TEST_F(Extract, RefusesAnExistingOutput) {
  write_all();
  test::write_file(dir_ / "v.safetensors", "mine");
  thrown_by<UsageError>([&] { run("v.safetensors"); });
  EXPECT_EQ(read_file(dir_ / "v.safetensors"), "mine");
}

TEST_F(Extract, RefusesToWriteOverADonor) {
  write_all();
  const auto before = test::model_files(dir_.path());
  ExtractOptions options;
  options.replace_existing = true;
  for (const char* out : {"tuned", "base", "base/model.safetensors", "tuned/v", "."})
    thrown_by<UsageError>([&] { run(out, options); });
  EXPECT_EQ(test::model_files(dir_.path()), before);
}

TEST_F(Extract, CancelledLeavesNothing) {
  write_all();
  const auto before = entries_of(dir_.path());
  std::atomic<bool> cancel = false;
  ExtractOptions options;
  options.run.cancel = &cancel;
  // Once the reading is over, in the middle of the writing.
  options.run.on_progress = [&](const Progress& progress) {
    if (std::strcmp(progress.stage, "writing") == 0) cancel = true;
  };
  EXPECT_THROW(run("v", options), Interrupted);
  EXPECT_EQ(entries_of(dir_.path()), before);
}

}  // namespace
}  // namespace suture
