// `suture extract`, run as its users run it.

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/checkpoint.h"

#include "support/model_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::ended_with;
using test::holds;
using test::Outcome;
using test::read_file;
using test::same_tree;
using test::TinyModel;
using test::tree_of;
using test::write_file;

class Extract : public test::ModelFamily {
 protected:
  std::vector<std::string> extract(const std::string& tuned,
                                   std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"extract", tuned, "base", "-o", "new.safetensors"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  // Not fit: exit status 1, the reason on stderr, nothing written.
  testing::AssertionResult declines(const std::vector<std::string>& arguments,
                                    const std::string& reason) const {
    const Outcome outcome = run(arguments);
    if (const auto ended = ended_with(outcome, 1); !ended) return ended;
    if (!outcome.out.empty()) return testing::AssertionFailure() << "stdout: " << outcome.out;
    if (const auto held = holds(outcome.err, reason); !held) return held;
    return nothing_left_behind();
  }
};

TEST_F(Extract, GivesTheTunedModelBack) {
  make_vector();
  ASSERT_TRUE(ended_with(run({"inject", "base", "v.safetensors", "-o", "again", "-q"}), 0));
  EXPECT_EQ(read_file(dir_ / "again" / "model.safetensors"),
            read_file(dir_ / "tuned" / "model.safetensors"));
}

TEST_F(Extract, SparseIsReadByEveryCommandAsItIs) {
  StateDict near = base_.clone();
  near.at("model.layers.1.mlp.up_proj.weight")[2][3] += 1;
  test::write_model(dir_ / "near", model_, near);
  make({"extract", "near", "base", "-o", "dense.safetensors", "-q"});
  const Outcome outcome = run({"extract", "near", "base", "-o", "s.safetensors", "--sparse"});
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.err, "of them sparse"));
  EXPECT_LT(fs::file_size(dir_ / "s.safetensors") - 2000,
            fs::file_size(dir_ / "dense.safetensors"));
  const auto expect_same_after = [&](std::vector<std::string> command, const std::string& from) {
    std::string out[2];
    for (const std::string vector : {"dense.safetensors", "s.safetensors"}) {
      std::vector<std::string> arguments = command;
      for (std::string& argument : arguments)
        if (argument == "VECTOR") argument = vector;
      const Outcome done = run(arguments);
      EXPECT_TRUE(ended_with(done, 0));
      std::string text = from.empty() ? done.out : read_file(dir_ / from);
      for (std::size_t at; (at = text.find(vector)) != std::string::npos;)
        text.replace(at, vector.size(), "VECTOR");
      out[vector == "s.safetensors"] = text;
    }
    EXPECT_EQ(out[0], out[1]);
  };
  expect_same_after({"inject", "target", "VECTOR", "-o", "out", "--force", "-q"},
                    "out/model.safetensors");
  expect_same_after({"inject", "base", "VECTOR", "-o", "out", "--force", "-q"},
                    "out/model.safetensors");
  EXPECT_EQ(read_file(dir_ / "out" / "model.safetensors"),
            read_file(dir_ / "near" / "model.safetensors"));
  expect_same_after({"analyze", "VECTOR", "--json", "-"}, {});
  expect_same_after({"analyze", "VECTOR", "--base", "base", "--json", "-"}, {});
  EXPECT_TRUE(ended_with(run({"check", "target", "s.safetensors"}), 0));
}

TEST_F(Extract, OfADamagedSparseVectorIsToldInOneLine) {
  StateDict near = base_.clone();
  near.at("model.norm.weight")[2] += 1;
  test::write_model(dir_ / "near", model_, near);
  make({"extract", "near", "base", "-o", "s.safetensors", "--sparse", "-q"});
  std::string bytes = read_file(dir_ / "s.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);  // bitmaps stand last
  write_file(dir_ / "s.safetensors", bytes);
  begin_here();
  EXPECT_TRUE(refuses({"inject", "target", "s.safetensors", "-o", "out"}, ".suture_bitmap"));
}

TEST_F(Extract, IntoAFolderBringsTheTokenizer) {
  ASSERT_TRUE(ended_with(
      run({"extract", "tuned", "base", "-o", "vector", "--max-shard-size", "2000", "--quiet"}), 0));
  EXPECT_TRUE(fs::exists(dir_ / "vector" / "tokenizer.json"));
  EXPECT_TRUE(fs::exists(dir_ / "vector" / "task_vector.safetensors.index.json"));
  make_vector();
  for (const std::string vector : {"vector", "v.safetensors"}) {
    ASSERT_TRUE(
        ended_with(run({"inject", "target", vector, "-o", "with-" + vector + ".d", "--quiet"}), 0));
  }
  EXPECT_EQ(read_file(dir_ / "with-vector.d" / "model.safetensors"),
            read_file(dir_ / "with-v.safetensors.d" / "model.safetensors"));
}

TEST_F(Extract, OfTheSameModelTwiceWarnsOfAZeroVector) {
  const Outcome outcome = run({"extract", "base", "base", "-o", "zero.safetensors"});
  EXPECT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.err, "warning: the vector is zero"));
  ASSERT_TRUE(ended_with(run({"inject", "target", "zero.safetensors", "-o", "out", "-q"}), 0));
  EXPECT_EQ(read_file(dir_ / "out" / "model.safetensors"),
            read_file(dir_ / "target" / "model.safetensors"));
}

TEST_F(Extract, OfModelsThatAreNotFitIsDeclined) {
  TinyModel other = model_;
  other.hidden = 32;
  add_model("wide", other);
  other = model_;
  other.tied = false;
  add_model("untied", other);
  other = model_;
  other.config["architectures"] = "[\"LlamaForCausalLM\"]";
  add_model("llama", other);
  other = model_;
  other.config["quantization_config"] = "{}";
  add_model("quantised", other);
  test::write_model(dir_ / "stranger", model_, test::make_weights(model_, 99));
  begin_here();
  EXPECT_TRUE(declines(extract("wide"), "hidden_size"));
  EXPECT_TRUE(declines(extract("untied"), "untied"));
  EXPECT_TRUE(declines(extract("llama"), "LlamaForCausalLM"));
  EXPECT_TRUE(declines(extract("quantised"), "quantised"));
  EXPECT_TRUE(declines(extract("stranger"), "kinship"));
  EXPECT_TRUE(declines(extract("wide", {"--allow", "structure,kinship"}), "shapes"));
  EXPECT_TRUE(ended_with(run(extract("llama", {"--allow", "architecture"})), 0));
}

TEST_F(Extract, OfOtherVocabulariesMatchesRowsByText) {
  TinyModel wordy = model_;
  wordy.vocab = 14;
  StateDict weights;
  for (const auto& [name, tensor] : test::make_relative(base_, 4)) {
    weights.set(name, name == "model.embed_tokens.weight"
                          ? at::cat({tensor, at::ones({2, tensor.size(1)}, tensor.options())})
                          : tensor);
  }
  test::write_model(dir_ / "wordy", wordy, weights);
  begin_here();
  EXPECT_TRUE(declines(extract("wordy"), "--vocab common"));
  ASSERT_TRUE(ended_with(
      run({"extract", "wordy", "base", "-o", "vector", "--vocab", "common", "--quiet"}), 0));
  ASSERT_TRUE(ended_with(
      run({"inject", "base", "vector", "-o", "out", "--vocab", "common", "--quiet"}), 0));
  EXPECT_TRUE(at::equal(load((dir_ / "out").string()).at("model.embed_tokens.weight"),
                        weights.at("model.embed_tokens.weight").slice(0, 0, 12)));
}

TEST_F(Extract, OfOtherDtypesIsAccepted) {
  TinyModel wide = model_;
  wide.dtype = at::kFloat;
  add_model("wide", wide);
  ASSERT_TRUE(ended_with(run(extract("wide")), 0));
  EXPECT_EQ(Checkpoint::open((dir_ / "new.safetensors").string()).tensors().front().dtype,
            Dtype::kF32);
}

TEST_F(Extract, NamesEveryTensorItLeavesOut) {
  StateDict more = test::make_relative(base_, 5);
  more.set("model.extra.weight", at::ones({2}));
  test::write_model(dir_ / "more", model_, more);
  begin_here();
  EXPECT_TRUE(declines(extract("more"), "model.extra.weight"));
  const Outcome outcome = run(extract("more", {"--allow", "tensors"}));
  EXPECT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.err, "model.extra.weight (only in more)"));
}

TEST_F(Extract, OfIntegersThatDifferIsDeclined) {
  for (const auto& [name, value] : {std::pair<const char*, int>{"one", 1}, {"two", 2}}) {
    StateDict weights = test::make_relative(base_, 6);
    weights.set("model.ids", at::full({2}, value, at::kLong));
    test::write_model(dir_ / name, model_, weights);
  }
  begin_here();
  EXPECT_TRUE(declines({"extract", "one", "two", "-o", "new.safetensors"}, "model.ids"));
}

TEST_F(Extract, WithOnlyAndExceptKeepsTheRest) {
  ASSERT_TRUE(
      ended_with(run(extract("tuned", {"--only", "layer=0", "--except", "block=mlp", "-q"})), 0));
  const Checkpoint vector = Checkpoint::open((dir_ / "new.safetensors").string());
  EXPECT_GT(vector.tensors().size(), 3u);
  for (const TensorInfo& tensor : vector.tensors()) {
    EXPECT_TRUE(holds(tensor.name, "layers.0."));
    EXPECT_EQ(tensor.name.find("mlp"), std::string::npos);
  }
}

TEST_F(Extract, OfHostileWeightsIsRefused) {
  const std::string good = read_file(dir_ / "tuned" / "model.safetensors");
  const auto expect_refused = [&](const std::string& bytes) {
    write_file(dir_ / "tuned" / "model.safetensors", bytes);
    EXPECT_TRUE(refuses(extract("tuned"), "tuned/model.safetensors"));
  };
  expect_refused("");
  expect_refused(good.substr(0, good.size() - 1));
  expect_refused(good + "x");
  expect_refused("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
  expect_refused("\x1F\x8B" + std::string(100, '\0'));
}

TEST_F(Extract, WithARankWritesAnAdapterAndItsError) {
  const Outcome outcome = run({"extract", "tuned", "base", "-o", "adapter", "--lora", "4"});
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_EQ(outcome.out, "");
  for (const char* part :
       {"wrote adapter: an adapter of 14 matrices of rank 4", "error merged", "outside"})
    EXPECT_TRUE(holds(outcome.err, part));
  EXPECT_EQ(test::entries_of(dir_ / "adapter"),
            (std::vector<std::string>{"adapter_config.json", "adapter_model.safetensors",
                                      "suture.json"}));
}

TEST_F(Extract, OfAStoredVectorWritesTheSameAdapter) {
  make_vector();
  make({"extract", "tuned", "base", "-o", "a", "--energy", "0.5", "-q"});
  make({"extract", "v.safetensors", "base", "-o", "b", "--energy", "0.5", "-q"});
  EXPECT_EQ(read_file(dir_ / "a" / "adapter_model.safetensors"),
            read_file(dir_ / "b" / "adapter_model.safetensors"));
  EXPECT_TRUE(refuses({"extract", "tuned", "v.safetensors", "-o", "c", "--lora", "4"},
                      "a task vector, not a model"));
}

TEST_F(Extract, OfAStoredVectorAsAModelIsRefused) {
  make_vector();
  for (const auto& [tuned, base] :
       {std::pair{"v.safetensors", "base"}, {"tuned", "v.safetensors"}}) {
    EXPECT_TRUE(refuses({"extract", tuned, base, "-o", "w.safetensors"},
                        "v.safetensors: a task vector, not a model"));
    const std::string vector = std::string(tuned) + " - " + base;
    EXPECT_TRUE(refuses({"inject", "target", vector, "-o", "new"}, "a task vector, not a model"));
    EXPECT_TRUE(refuses({"check", "target", vector}, "a task vector, not a model"));
  }
}

TEST_F(Extract, OfAnAdapterSaysWherePeftWouldNotFindTheModules) {
  StateDict plain;
  for (const auto& [name, tensor] : base_)
    plain.set(name.rfind("model.", 0) == 0 ? name.substr(6) : name, tensor);
  test::write_model(dir_ / "short", model_, plain);
  const Outcome odd = run({"extract", "tuned", "short", "-o", "a", "--lora", "4"});
  ASSERT_TRUE(ended_with(odd, 0));
  EXPECT_TRUE(holds(odd.err, "PEFT may load the adapter onto nothing"));
  const Outcome usual = run({"extract", "tuned", "base", "-o", "b", "--lora", "4"});
  EXPECT_EQ(usual.err.find("PEFT may"), std::string::npos);
}

TEST_F(Extract, OfAnAdapterOfFullRankGivesTheTunedModelBack) {
  make({"extract", "tuned", "base", "-o", "adapter", "--lora", "16", "-q"});
  ASSERT_TRUE(ended_with(run({"inject", "base", "adapter - base", "-o", "again", "-q"}), 0));
  EXPECT_EQ(read_file(dir_ / "again" / "model.safetensors"),
            read_file(dir_ / "tuned" / "model.safetensors"));
}

TEST_F(Extract, OfAnAdapterRefusesWhatMakesNone) {
  const auto adapter = [](std::vector<std::string> more) {
    std::vector<std::string> arguments{"extract", "tuned", "base", "-o", "adapter"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  for (const std::string rank : {"0", "-1", "1.5", "x", "99999999999999999999"})
    EXPECT_TRUE(refuses(adapter({"--lora", rank}), "--lora")) << rank;
  for (const std::string energy : {"0", "-0.5", "1.01", "nan", "x"})
    EXPECT_TRUE(refuses(adapter({"--energy", energy}), "--energy")) << energy;
  EXPECT_TRUE(refuses(adapter({"--lora", "4", "--sparse"}), "--sparse with --lora"));
  EXPECT_TRUE(refuses(adapter({"--lora", "4", "--dtype", "f64"}), "bf16, f16 or f32"));
  EXPECT_TRUE(refuses(adapter({"--low-rank-embeddings"}), "without --lora"));
  EXPECT_TRUE(refuses(extract("tuned", {"--lora", "4"}), "an adapter is several files"));
  EXPECT_TRUE(
      refuses({"extract", "tuned", "base", "-o", "base", "--lora", "4", "--force"}, "base"));
  EXPECT_TRUE(refuses({"extract", "tuned", "base", "--lora", "4"}, "no output"));
}

TEST_F(Extract, ReadsEveryFormOfAModel) {
  const auto vector_of = [&](const std::string& tuned, const std::string& name) {
    EXPECT_TRUE(ended_with(
        run({"extract", tuned, "base", "-o", name, "--allow", "config,tokenizer", "--quiet"}), 0));
    return load((dir_ / name).string());
  };
  const StateDict expected = vector_of("tuned", "folder.safetensors");
  test::write_model(dir_ / "sharded", model_, test::make_relative(base_, 2), 2000);
  fs::path snapshot = dir_ / "cache" / "models--org--tuned" / "snapshots" / std::string(40, 'a');
  fs::create_directories(snapshot.parent_path());
  fs::copy(dir_ / "tuned", snapshot);
  write_file(dir_ / "cache" / "models--org--tuned" / "refs" / "main", std::string(40, 'a'));
  std::vector<StateDict> others{vector_of("tuned/model.safetensors", "file.safetensors"),
                                vector_of("sharded", "sharded.safetensors")};
  test::Invocation call =
      invocation({"extract", "org/tuned", "base", "-o", "hub.safetensors", "-q"});
  call.environment["HF_HUB_CACHE"] = (dir_ / "cache").string();
  EXPECT_TRUE(ended_with(test::run_program(call), 0));
  others.push_back(load((dir_ / "hub.safetensors").string()));
  for (const StateDict& other : others) {
    ASSERT_EQ(other.size(), expected.size());
    for (const auto& [name, tensor] : expected)
      EXPECT_TRUE(at::equal(tensor, other.at(name))) << name;
  }
}

}  // namespace
}  // namespace suture
