// Vectors whose mostly-zero tensors are stored sparse.

#include <filesystem>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/surgery.h"

#include "support/extract.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::Extract;
using test::holds;
using test::read_file;
using test::same_bits;
using test::thrown_by;

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
  const TaskVector vector = TaskVector::open(path("v.safetensors")), none = vector - vector;
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

}  // namespace
}  // namespace suture
