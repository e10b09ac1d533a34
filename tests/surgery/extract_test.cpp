#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/surgery.h"

#include "support/model_trio.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::entries_of;
using test::holds;
using test::read_file;
using test::same_bits;
using test::thrown_by;

class Extract : public test::ModelTrio {
 protected:
  ExtractReport run(const std::string& out, const ExtractOptions& options = {}) {
    return extract(open("tuned"), open("base"), path(out), options);
  }

  // A model that is one tensor of one dimension: nothing to take for kinship.
  void make_one_tensor(at::ScalarType type, const std::vector<double>& tuned,
                       const std::vector<double>& base) {
    StateDict a, b;
    a.set("w", at::tensor(tuned, at::kDouble).to(type));
    b.set("w", at::tensor(base, at::kDouble).to(type));
    SaveOptions options;
    options.replace_existing = true;
    save(a, path("tuned.safetensors"), options);
    save(b, path("base.safetensors"), options);
  }

  ExtractReport run_on_one_tensor(const ExtractOptions& given = {}) {
    ExtractOptions options = given;
    options.replace_existing = true;
    return extract(open("tuned.safetensors"), open("base.safetensors"), path("v.safetensors"),
                   options);
  }

  // BASE + v as inject writes it.
  StateDict base_plus_vector() {
    InjectOptions options;
    options.replace_existing = true;
    inject(open("base.safetensors"), TaskVector::open(path("v.safetensors")),
           path("sum.safetensors"), options);
    return load(path("sum.safetensors"));
  }
};

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

TEST_F(Extract, WidensWhereFloat32WouldLoseBits) {
  // 1 - 2^-30 needs 30 bits; float32 rounds it to 1, and 1 + (2^-30 - 1) is then 0.
  make_one_tensor(at::kBFloat16, {0x1p-30, 0.5, 3}, {1, 0.25, 2});
  const ExtractReport report = run_on_one_tensor();
  EXPECT_EQ(report.widened_tensors, 1u);
  EXPECT_EQ(report.inexact_elements, 0u);
  EXPECT_EQ(load(path("v.safetensors")).at("w").scalar_type(), at::kDouble);
  EXPECT_TRUE(same_bits(base_plus_vector(), load(path("tuned.safetensors"))));
}

TEST_F(Extract, DoesNotWidenWhereFloat32IsExact) {
  make_one_tensor(at::kBFloat16, {0.5, 3, 0x1p-10}, {0.25, 2, 1});
  const ExtractReport report = run_on_one_tensor();
  EXPECT_EQ(report.widened_tensors, 0u);
  EXPECT_EQ(load(path("v.safetensors")).at("w").scalar_type(), at::kHalf);  // 2^-10 - 1
}

TEST_F(Extract, DoesNotWidenWhereItWouldNotHelpAndSaysSo) {
  // Not even float64 holds 2^-100 - 1.
  make_one_tensor(at::kBFloat16, {0x1p-100}, {1});
  const ExtractReport report = run_on_one_tensor();
  EXPECT_EQ(report.widened_tensors, 0u);
  EXPECT_EQ(report.inexact_elements, 1u);
}

TEST_F(Extract, BasePlusVectorGivesTunedForRandomBits) {
  std::mt19937_64 random(3);
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf, at::kFloat}) {
    // Any sign and mantissa, exponents within 2^12 of each other.
    std::vector<double> tuned, base;
    for (int i = 0; i < 70'000; ++i) {
      for (std::vector<double>* values : {&tuned, &base}) {
        const double mantissa = 1 + static_cast<double>(random() % (1 << 23)) / (1 << 23);
        values->push_back((random() % 2 ? 1 : -1) *
                          std::ldexp(mantissa, -static_cast<int>(random() % 12)));
      }
    }
    make_one_tensor(type, tuned, base);
    const ExtractReport report = run_on_one_tensor();
    EXPECT_EQ(report.inexact_elements, 0u) << type;
    EXPECT_TRUE(same_bits(base_plus_vector(), load(path("tuned.safetensors")))) << type;
  }
}

TEST_F(Extract, CountsExactlyTheElementsThatDoNotComeBack) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf, at::kFloat}) {
    std::mt19937_64 random(4);
    std::vector<double> tuned, base;
    for (int i = 0; i < 5000; ++i) {
      for (std::vector<double>* values : {&tuned, &base})
        values->push_back(std::ldexp(1 + static_cast<double>(random() % 1024) / 1024,
                                     -static_cast<int>(random() % 120)));
    }
    for (const double odd : {0.0, -0.0, std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN(), 1.0}) {
      for (const double beside : {0.0, -0.0, -std::numeric_limits<double>::infinity(), 2.0}) {
        tuned.push_back(odd);
        base.push_back(beside);
      }
    }
    make_one_tensor(type, tuned, base);
    const ExtractReport report = run_on_one_tensor();
    const at::Tensor sum = base_plus_vector().at("w"),
                     wanted = load(path("tuned.safetensors")).at("w");
    const at::ScalarType bits = type == at::kFloat ? at::kInt : at::kShort;
    const auto differing = at::count_nonzero(sum.view(bits) != wanted.view(bits));
    EXPECT_EQ(report.inexact_elements, static_cast<std::uint64_t>(differing.item<std::int64_t>()))
        << type;
  }
}

TEST_F(Extract, AFixedDtypeIsKeptAndItsLossTold) {
  make_one_tensor(at::kFloat, {1.001, 1.5}, {1, 1});
  ExtractOptions options;
  options.dtype = Dtype::kBF16;
  const ExtractReport report = run_on_one_tensor(options);
  EXPECT_EQ(load(path("v.safetensors")).at("w").scalar_type(), at::kBFloat16);
  EXPECT_EQ(report.inexact_elements, 1u);
  EXPECT_EQ(report.widened_tensors, 0u);
  options.dtype = Dtype::kF64;
  EXPECT_EQ(run_on_one_tensor(options).inexact_elements, 0u);
  EXPECT_EQ(load(path("v.safetensors")).at("w").scalar_type(), at::kDouble);
}

TEST_F(Extract, Float64DonorsGiveAFloat64Vector) {
  make_one_tensor(at::kDouble, {1.0 / 3, 2}, {0.1, 1});
  run_on_one_tensor();
  const at::Tensor vector = load(path("v.safetensors")).at("w");
  EXPECT_EQ(vector[0].item<double>(), 1.0 / 3 - 0.1);
}

// The first of bf16, f16 and f32 that torch takes a float32 difference to and back without loss.
// NaN is left out: torch has one NaN of 16 bits where arithmetic knows two signs.
at::ScalarType narrowest(const at::Tensor& with_nan) {
  const at::Tensor difference = at::where(with_nan.isnan(), at::zeros({}), with_nan);
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf})
    if (same_bits(difference.to(type).to(at::kFloat), difference)) return type;
  return at::kFloat;
}

TEST_F(Extract, StoresTheNarrowestDtypeThatIsExact) {
  std::mt19937_64 random(6);
  std::set<at::ScalarType> seen;
  for (int round = 0; round < 60; ++round) {
    const at::ScalarType type =
        std::vector{at::kBFloat16, at::kHalf, at::kFloat, at::kDouble}[random() % 4];
    const int bits = 1 + static_cast<int>(random() % 12), low = static_cast<int>(random() % 40);
    std::vector<double> tuned, base;
    for (int i = 0; i < 300; ++i) {
      base.push_back(random() % 3 == 0 ? -0.0 : std::ldexp(1, -static_cast<int>(random() % 3)));
      const double step = std::ldexp(static_cast<double>(random() % (1u << bits)), -low);
      tuned.push_back(random() % 2 ? base.back() + step : base.back());
    }
    if (round % 7 == 0) tuned[5] = std::numeric_limits<double>::infinity();
    if (round % 11 == 0) tuned[6] = std::numeric_limits<double>::quiet_NaN();
    make_one_tensor(type, tuned, base);
    const ExtractReport report = run_on_one_tensor();
    const at::Tensor vector = load(path("v.safetensors")).at("w");
    const at::Tensor a = load(path("tuned.safetensors")).at("w"),
                     b = load(path("base.safetensors")).at("w");
    const bool widened = type == at::kDouble || report.widened_tensors > 0;
    const at::Tensor difference =
        widened ? a.to(at::kDouble) - b.to(at::kDouble) : a.to(at::kFloat) - b.to(at::kFloat);
    EXPECT_EQ(vector.scalar_type(), widened ? at::kDouble : narrowest(difference)) << type;
    EXPECT_TRUE(same_bits(vector.to(difference.scalar_type()), difference)) << type;
    EXPECT_EQ(report.dtypes.size(), 1u);
    seen.insert(vector.scalar_type());
  }
  EXPECT_EQ(seen.size(), 4u);
}

TEST_F(Extract, KeepsWhatIsNotFinite) {
  const double infinity = std::numeric_limits<double>::infinity(),
               nan = std::numeric_limits<double>::quiet_NaN();
  make_one_tensor(at::kBFloat16, {infinity, -infinity, nan, infinity, 1, -0.0},
                  {1, 1, 1, infinity, nan, 0.0});
  run_on_one_tensor();
  const at::Tensor vector = load(path("v.safetensors")).at("w");
  EXPECT_EQ(vector.scalar_type(), at::kBFloat16);
  const at::Tensor difference = load(path("tuned.safetensors")).at("w").to(at::kFloat) -
                                load(path("base.safetensors")).at("w").to(at::kFloat);
  EXPECT_TRUE(same_bits(vector.to(at::kFloat), difference));
}

// A large tensor of zero differences, but for one at a place that no sample is sure to hit.
class LargeTensor : public Extract {
 protected:
  static constexpr std::int64_t kElements = 1'000'000;
  void make_large(std::int64_t odd_at, float odd) {
    at::Tensor base = at::ones({kElements}, at::kBFloat16);
    at::Tensor tuned = base.clone();
    tuned.slice(0, 5000, 5100) += 0.25;
    tuned[odd_at] = odd;
    StateDict a, b;
    a.set("w", tuned);
    a.set("small", at::ones({3}, at::kBFloat16));
    b.set("w", base);
    b.set("small", at::zeros({3}, at::kBFloat16));
    SaveOptions options;
    options.replace_existing = true;
    save(a, path("tuned.safetensors"), options);
    save(b, path("base.safetensors"), options);
  }
};

TEST_F(LargeTensor, IsWrittenInOnePassWhenTheSampleTellsItsDtype) {
  make_large(7, 1.5);
  const ExtractReport report = run_on_one_tensor();
  EXPECT_EQ(report.bytes_read, 2u * 2 * (kElements + 3));
  EXPECT_EQ(load(path("v.safetensors")).at("w").scalar_type(), at::kBFloat16);
}

TEST_F(LargeTensor, IsWrittenInTwoWhenTheSampleMisleads) {
  // Between the pieces of the sample, one difference that needs f16, f32 or f64.
  for (const auto& [odd, type] : {std::pair{0x1p-10f, at::kHalf}, std::pair{0x1p-20f, at::kFloat},
                                  std::pair{0x1p-30f, at::kDouble}}) {
    make_large(kElements - 5000, odd);
    const ExtractReport report = run_on_one_tensor();
    EXPECT_EQ(report.bytes_read, 2u * 2 * 2 * (kElements + 3));
    EXPECT_EQ(report.inexact_elements, 0u);
    const StateDict vector = load(path("v.safetensors"));
    EXPECT_EQ(vector.at("w").scalar_type(), type);
    EXPECT_EQ(vector.at("small").scalar_type(), at::kBFloat16);
    EXPECT_TRUE(same_bits(base_plus_vector(), load(path("tuned.safetensors"))));
    EXPECT_EQ(test::entries_of(dir_.path()).size(), 4u);
  }
}

TEST_F(LargeTensor, HasTheSameBytesForAnyThreadsAndMemoryWhenTheSampleMisleads) {
  make_large(kElements - 5000, 0x1p-20f);
  run_on_one_tensor();
  const std::string expected = read_file(dir_ / "v.safetensors");
  for (const unsigned threads : {1u, 2u, 7u}) {
    for (const std::uint64_t budget : {1ull << 20, 8ull << 20, 512ull << 20}) {
      ExtractOptions options;
      options.run.threads = threads;
      options.run.memory_budget_bytes = budget;
      run_on_one_tensor(options);
      EXPECT_TRUE(read_file(dir_ / "v.safetensors") == expected) << threads << " " << budget;
    }
  }
}

TEST_F(LargeTensor, HasAHeaderWhoseSizeDoesNotTellTheNumberOfPasses) {
  std::set<std::string> lengths;
  for (const std::int64_t odd_at : {std::int64_t{7}, kElements - 5000}) {
    make_large(odd_at, 0x1p-20f);
    run_on_one_tensor();
    lengths.insert(read_file(dir_ / "v.safetensors").substr(0, 8));
  }
  EXPECT_EQ(lengths.size(), 1u);
}

// Where nothing is mostly zero, a sparse vector is a dense one, made in two passes.
TEST_F(Extract, HasTheSameBytesInOnePassAndInTwo) {
  test::TinyModel model;
  model.dtype = at::kFloat;
  make(model);
  write_all();
  run("one.safetensors");
  ExtractOptions options;
  options.sparse = true;
  EXPECT_EQ(run("two.safetensors", options).sparse_tensors, 0u);
  EXPECT_TRUE(read_file(dir_ / "one.safetensors") == read_file(dir_ / "two.safetensors"));
}

TEST_F(Extract, SparseHoldsWhatDenseDoes) {
  test::TinyModel model;
  model.vocab = 9000;  // an embedding of three blocks
  make(model);
  // Most of it as it was; -0 where the base has +0.
  at::Tensor tuned = base_.at("model.embed_tokens.weight").clone();
  base_.at("model.embed_tokens.weight")[11].zero_();
  tuned[11].zero_().neg_();
  tuned.slice(0, 4000, 4020) += 0.5;
  tuned_.set("model.embed_tokens.weight", tuned);
  tuned_.set("model.norm.weight", base_.at("model.norm.weight"));
  write_all();
  const ExtractReport dense_report = run("dense.safetensors");
  ExtractOptions options;
  options.sparse = true;
  const ExtractReport report = run("sparse.safetensors", options);
  EXPECT_GE(report.sparse_tensors, 2u);
  EXPECT_LT(report.bytes_written, dense_report.bytes_written);
  EXPECT_EQ(report.norm, dense_report.norm);
  EXPECT_EQ(report.changed_elements, dense_report.changed_elements);
  const TaskVector dense = TaskVector::open(path("dense.safetensors")),
                   sparse = TaskVector::open(path("sparse.safetensors"));
  EXPECT_EQ(sparse.names(), dense.names());
  EXPECT_TRUE(same_bits(sparse.materialize(), dense.materialize()));
  EXPECT_EQ(sparse.norm(), dense.norm());
  for (const double scale : {1.0, -0.3}) {
    InjectOptions inject_options;
    inject_options.replace_existing = true;
    inject(open("target"), scale * sparse, path("a.safetensors"), inject_options);
    inject(open("target"), scale * dense, path("b.safetensors"), inject_options);
    EXPECT_TRUE(same_bits(load(path("a.safetensors")), load(path("b.safetensors"))));
  }
  EXPECT_TRUE(check(open("target"), sparse).fit());
}

TEST_F(Extract, SparseHasTheSameBytesForAnyThreadsMemoryAndSharding) {
  tuned_ = base_.clone();
  tuned_.at("model.layers.1.mlp.up_proj.weight")[2][3] += 1;
  write_all();
  ExtractOptions options;
  options.sparse = true;
  options.replace_existing = true;
  run("expected.safetensors", options);
  for (const unsigned threads : {1u, 2u, 7u}) {
    for (const std::uint64_t budget : {1ull << 20, 8ull << 20, 512ull << 20}) {
      options.run.threads = threads;
      options.run.memory_budget_bytes = budget;
      run("v.safetensors", options);
      EXPECT_EQ(read_file(dir_ / "v.safetensors"), read_file(dir_ / "expected.safetensors"));
    }
  }
  options.max_shard_bytes = 200;
  run("sharded", options);
  EXPECT_TRUE(fs::exists(dir_ / "sharded" / "task_vector.safetensors.index.json"));
  EXPECT_TRUE(same_bits(load(path("sharded")), load(path("expected.safetensors"))));
  EXPECT_TRUE(same_bits(TaskVector::open(path("sharded")).materialize(),
                        TaskVector::open(path("expected.safetensors")).materialize()));
}

TEST_F(Extract, ASparseVectorTakesPartInADifference) {
  tuned_ = base_.clone();
  tuned_.at("model.norm.weight")[2] += 1;
  write_all();
  ExtractOptions options;
  options.sparse = true;
  run("v.safetensors", options);
  const Checkpoint vector = open("v.safetensors");
  const TaskVector none = vector - vector;
  EXPECT_EQ(none.norm(), 0);
  EXPECT_EQ(none.names().size(), base_.size());
}

TEST_F(Extract, SparseWithAFixedLossyDtypeIsItsDenseVector) {
  make_one_tensor(at::kFloat, {1e-30, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
                  {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5});
  ExtractOptions options;
  options.dtype = Dtype::kF16;  // 1e-30 becomes zero
  run_on_one_tensor(options);
  const StateDict dense = TaskVector::open(path("v.safetensors")).materialize();
  options.sparse = true;
  EXPECT_EQ(run_on_one_tensor(options).sparse_tensors, 1u);
  EXPECT_TRUE(same_bits(TaskVector::open(path("v.safetensors")).materialize(), dense));
}

TEST_F(Extract, SparseKeepsOffTheNamesOfTheModel) {
  set_in_all("model.norm.weight.suture_values", at::ones({4}));
  tuned_.set("model.norm.weight", base_.at("model.norm.weight"));
  write_all();
  ExtractOptions options;
  options.sparse = true;
  run("v.safetensors", options);
  EXPECT_TRUE(require_vector(open("v.safetensors")).sparse.count("model.norm.weight") == 0);
  EXPECT_EQ(TaskVector::open(path("v.safetensors")).names().size(), base_.size());
}

TEST_F(Extract, RefusesATensorThatWouldPassForAPart) {
  set_in_all("other.suture_values", at::ones({4}));
  write_all();
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { run("v.safetensors"); }), "other.suture_values"));
}

TEST_F(Extract, EmptyTensorsHaveOnePlaceInDenseAndSparseVectors) {
  for (const char* name : {"model.e3", "model.e1", "model.e2", "a.empty", "z.empty"})
    set_in_all(name, at::empty({0, 4}, at::kBFloat16));
  set_in_all("model.e0", at::empty({0}, at::kFloat));
  tuned_ = base_.clone();
  tuned_.at("model.norm.weight")[0] += 1;
  write_all();
  ExtractOptions options;
  run("dense.safetensors", options);
  options.sparse = true;
  EXPECT_GE(run("sparse.safetensors", options).sparse_tensors, 1u);
  EXPECT_EQ(TaskVector::open(path("dense.safetensors")).names(),
            TaskVector::open(path("sparse.safetensors")).names());
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
