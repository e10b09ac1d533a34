#include <atomic>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/surgery.h"

#include "format/json.h"
#include "support/model_trio.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::entries_of;
using test::holds;
using test::model_files;
using test::read_file;
using test::same_bits;
using test::thrown_by;

class Inject : public test::ModelTrio {
 protected:
  TaskVector skill() const { return open("tuned") - open("base"); }

  InjectReport run(const TaskVector& vector, const std::string& out,
                   const InjectOptions& options = {}) {
    return inject(open("target"), vector, path(out), options);
  }

  // round(target + sum of scale * (a - b)), in float32 and in that order.
  at::Tensor sum_by_torch(const std::string& name, double scale) const {
    const at::Tensor target = target_.at(name);
    if (!target.is_floating_point()) return target;
    const at::Tensor delta = tuned_.at(name).to(at::kFloat) - base_.at(name).to(at::kFloat);
    return (target.to(at::kFloat) + delta * static_cast<float>(scale)).to(target.scalar_type());
  }

  format::Json json(const std::string& file) const {
    return format::Json::parse(read_file(dir_ / file));
  }
};

TEST_F(Inject, EqualsTorchForEveryDtype) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf, at::kFloat}) {
    test::TinyModel model;
    model.dtype = dtype;
    make(model);
    const std::string part = std::string(at::toString(dtype)) + "/";
    for (const auto& [name, weights] :
         {std::pair{"base", &base_}, {"tuned", &tuned_}, {"target", &target_}})
      write_into(part, name, *weights);
    const TaskVector vector = 0.8 * (open(part + "tuned") - open(part + "base"));
    inject(open(part + "target"), vector, path(part + "out"));
    const StateDict out = load(path(part + "out"));
    for (const auto& [name, tensor] : target_)
      EXPECT_TRUE(same_bits(out.at(name), sum_by_torch(name, 0.8))) << name;
  }
}

TEST_F(Inject, AStoredVectorGivesTheBytesOfTheLazyOne) {
  write_all();
  extract(open("tuned"), open("base"), path("v.safetensors"));
  extract(open("tuned"), open("base"), path("v"));
  run(-0.5 * skill(), "lazy");
  run(-0.5 * TaskVector::open(path("v.safetensors")), "stored");
  run(-0.5 * TaskVector::open(path("v")), "folder");
  EXPECT_EQ(model_files(dir_ / "stored"), model_files(dir_ / "lazy"));
  EXPECT_EQ(model_files(dir_ / "folder"), model_files(dir_ / "lazy"));
}

TEST_F(Inject, WhatChangesNothingGivesTheTargetsFilesBack) {
  write_all(6000);
  StateDict zeros;
  for (const auto& [name, tensor] : base_) zeros.set(name, at::zeros_like(tensor));
  run(0.0 * skill(), "scale0");
  run(TaskVector(), "none");
  run(skill().only(!Selection()), "unselected");
  run(open("base") - open("base"), "difference0");
  run(TaskVector::from(zeros), "zeros");
  for (const char* out : {"scale0", "none", "unselected", "difference0", "zeros"})
    EXPECT_EQ(model_files(dir_ / out), model_files(dir_ / "target")) << out;
}

TEST_F(Inject, AZeroVectorKeepsNegativeZerosAndEveryNaN) {
  for (const at::ScalarType type : {at::kShort, at::kInt}) {
    StateDict odd;
    const auto bits =
        type == at::kShort
            ? at::tensor({-32768, 0x7F81, 0x7FC1, -127, 0x7F80}, at::kShort)
            : at::tensor({std::int64_t{-2147483648}, std::int64_t{0x7F800001}}, at::kLong)
                  .to(at::kInt);
    odd.set("w", bits.view(type == at::kShort ? at::kBFloat16 : at::kFloat));
    StateDict zeros;
    zeros.set("w", at::zeros(odd.at("w").sizes()));
    const std::string in = std::to_string(static_cast<int>(type)) + ".safetensors";
    save(odd, path(in));
    inject(open(in), TaskVector::from(zeros), path("out-" + in));
    EXPECT_TRUE(same_bits(load(path("out-" + in)), odd));
  }
}

TEST_F(Inject, TargetPlusItsDifferenceToTunedIsTuned) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf, at::kFloat}) {
    test::TinyModel model;
    model.dtype = dtype;
    const StateDict base = test::make_weights(model, 1);
    StateDict tuned = test::make_relative(base, 2, 0.03);
    // 1e-30 - 1 is -1 in float32 and in float64: only the bytes themselves give it back.
    tuned.set("model.norm.weight", at::full({16}, 1e-30).to(dtype));
    const std::string part = std::string(at::toString(dtype)) + "/";
    write_into(part, "base", base);
    write_into(part, "tuned", tuned);
    const TaskVector vector = open(part + "tuned") - open(part + "base");
    inject(open(part + "base"), vector, path(part + "out"));
    EXPECT_TRUE(same_bits(load(path(part + "out")), tuned)) << dtype;
  }
}

TEST_F(Inject, AddsSeveralVectorsInTheOrderWritten) {
  write_all();
  StateDict style = test::make_relative(base_, 4, 0.01);
  test::write_model(dir_ / "style", model_, style);
  run(0.7 * skill() - 0.3 * (open("style") - open("base")), "out");
  const StateDict out = load(path("out"));
  for (const auto& [name, target] : target_) {
    const at::Tensor b = base_.at(name).to(at::kFloat);
    const at::Tensor sum = target.to(at::kFloat) + (tuned_.at(name).to(at::kFloat) - b) * 0.7f +
                           (style.at(name).to(at::kFloat) - b) * -0.3f;
    EXPECT_TRUE(same_bits(out.at(name), sum.to(target.scalar_type()))) << name;
  }
}

TEST_F(Inject, TensorsOutOfReachAreCopied) {
  write_all();
  const InjectReport report = run(skill().only("layer=1 & block=mlp"), "out");
  EXPECT_EQ(report.computed_tensors, 3u);
  EXPECT_EQ(report.copied_tensors, target_.size() - 3);
  const StateDict out = load(path("out"));
  for (const auto& [name, tensor] : target_) {
    const bool reached = name.find("layers.1.mlp") != std::string::npos;
    EXPECT_TRUE(same_bits(out.at(name), reached ? sum_by_torch(name, 1) : tensor)) << name;
  }
}

TEST_F(Inject, KeepsTheTargetsShardsNamesAndIndex) {
  write_all(6000);
  run(0.5 * skill(), "out");
  EXPECT_EQ(entries_of(dir_ / "out").size(), entries_of(dir_ / "target").size() + 1);
  EXPECT_EQ(read_file(dir_ / "out" / "model.safetensors.index.json"),
            read_file(dir_ / "target" / "model.safetensors.index.json"));
  const Checkpoint target = open("target"), out = open("out");
  ASSERT_EQ(out.files().size(), target.files().size());
  EXPECT_GT(out.files().size(), 2u);
  for (std::size_t i = 0; i < out.files().size(); ++i)
    EXPECT_EQ(out.files()[i].filename(), target.files()[i].filename());
  EXPECT_TRUE(out.warnings().empty());
}

TEST_F(Inject, SplitsAnewWhenAsked) {
  write_all();
  InjectOptions options;
  options.max_shard_bytes = 5000;
  run(0.5 * skill(), "split", options);
  run(0.5 * skill(), "whole");
  EXPECT_TRUE(fs::exists(dir_ / "split" / "model.safetensors.index.json"));
  EXPECT_TRUE(same_bits(load(path("split")), load(path("whole"))));
}

TEST_F(Inject, WritesOneFileFromShards) {
  write_all(6000);
  run(0.5 * skill(), "out.safetensors");
  run(0.5 * skill(), "out");
  EXPECT_TRUE(same_bits(load(path("out.safetensors")), load(path("out"))));
  const Checkpoint out = open("out.safetensors");
  EXPECT_EQ(out.metadata().at("format"), "pt");
  EXPECT_TRUE(holds(out.metadata().at("suture_provenance"), "tuned"));
}

TEST_F(Inject, OneFileOfOneFileSaysHowItWasMadeToo) {
  write_all();
  run(0.5 * skill(), "out.safetensors");
  EXPECT_TRUE(holds(open("out.safetensors").metadata().at("suture_provenance"), "0.5 * "));
  run(0.0 * skill(), "same.safetensors");
  EXPECT_EQ(read_file(dir_ / "same.safetensors"), read_file(dir_ / "target" / "model.safetensors"));
}

TEST_F(Inject, CopiesTheSideFilesAndNamesOtherWeights) {
  write_all();
  test::write_file(dir_ / "target" / "README.md", "card\n");
  test::write_file(dir_ / "target" / "extra" / "template.jinja", "nested\n");
  test::write_file(dir_ / "target" / "model.gguf", "other weights");
  const InjectReport report = run(0.5 * skill(), "out");
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json",
                           "chat_template.jinja", "README.md", "extra/template.jinja"}) {
    EXPECT_EQ(read_file(dir_ / "out" / name), read_file(dir_ / "target" / name)) << name;
  }
  EXPECT_FALSE(fs::exists(dir_ / "out" / "model.gguf"));
  ASSERT_EQ(report.left_out.size(), 1u);
  EXPECT_TRUE(holds(report.left_out[0], "model.gguf"));
}

TEST_F(Inject, SaysHowTheModelWasMade) {
  write_all();
  extract(open("tuned"), open("base"), path("v"));
  run(0.8 * TaskVector::open(path("v")).only("layer=0"), "out");
  const format::Json made = json("out/suture.json");
  EXPECT_EQ(made["formula"], "target + 0.8 * v.only(layer=0)");
  EXPECT_EQ(made["target"], "target");
  EXPECT_EQ(made["sources"][0]["donors"][0]["name"], "tuned");
  EXPECT_EQ(made["computed_tensors"], 10);
  EXPECT_FALSE(holds(read_file(dir_ / "out" / "suture.json"), dir_.path().string()));
}

TEST_F(Inject, MayEditAnEditedModel) {
  write_all();
  run(0.5 * skill(), "first");
  inject(open("first"), 0.5 * skill(), path("second"));
  EXPECT_EQ(json("second/suture.json")["target"], "first");
  EXPECT_EQ(Checkpoint::open(path("second")).tensors().size(), target_.size());
}

TEST_F(Inject, AnotherDtypeIsRoundedToOnceAndStatedInTheConfig) {
  write_all();
  set_in_all("model.ids", at::arange(3, at::kLong));
  write_into("ids", "target", target_);
  InjectOptions options;
  options.dtype = Dtype::kF32;
  options.check.allowed.insert("tensors");
  inject(open("ids/target"), 0.3 * skill(), path("out"), options);
  const StateDict out = load(path("out"));
  for (const auto& [name, target] : target_) {
    if (!target.is_floating_point()) {
      EXPECT_TRUE(same_bits(out.at(name), target));
      continue;
    }
    const at::Tensor delta = tuned_.at(name).to(at::kFloat) - base_.at(name).to(at::kFloat);
    EXPECT_TRUE(same_bits(out.at(name), target.to(at::kFloat) + delta * 0.3f)) << name;
  }
  format::Json expected = json("ids/target/config.json");
  expected["torch_dtype"] = "float32";
  EXPECT_EQ(json("out/config.json"), expected);
}

TEST_F(Inject, TheConfigsOwnSpellingOfDtypeIsKept) {
  model_.config["dtype"] = "\"bfloat16\"";
  write_all();
  InjectOptions options;
  options.dtype = Dtype::kF16;
  run(skill(), "out", options);
  EXPECT_EQ(json("out/config.json")["dtype"], "float16");
  EXPECT_EQ(json("out/config.json")["torch_dtype"], "bfloat16");
}

TEST_F(Inject, ConvertsWithoutAnyVector) {
  write_all();
  InjectOptions options;
  options.dtype = Dtype::kF64;
  run(TaskVector(), "out", options);
  const StateDict out = load(path("out"));
  for (const auto& [name, tensor] : target_)
    EXPECT_TRUE(same_bits(out.at(name), tensor.to(at::kDouble))) << name;
}

TEST_F(Inject, NonFloatTensorsComeFromTheTarget) {
  set_in_all("model.ids", at::arange(5, at::kLong));
  set_in_all("model.layers.0.codes", at::ones({4}).to(at::kFloat8_e4m3fn));
  target_.set("model.ids", at::arange(5, 10, at::kLong));
  write_all();
  const InjectReport report = run(0.5 * skill(), "out");
  EXPECT_TRUE(same_bits(load(path("out")).at("model.ids"), target_.at("model.ids")));
  EXPECT_TRUE(
      same_bits(load(path("out")).at("model.layers.0.codes"), target_.at("model.layers.0.codes")));
  std::string left_out;
  for (const std::string& item : report.left_out) left_out += item + "\n";
  EXPECT_TRUE(holds(left_out, "model.ids (I64, equal in both)"));
  EXPECT_TRUE(holds(left_out, "model.layers.0.codes (F8_E4M3, equal in both)"));
}

TEST_F(Inject, DonorsWithDifferentIntegersAreRefused) {
  set_in_all("model.ids", at::arange(5, at::kLong));
  tuned_.set("model.ids", at::arange(5, 10, at::kLong));
  write_all();
  EXPECT_TRUE(holds(thrown_by<CompatibilityError>([&] { run(skill(), "out"); }), "model.ids"));
}

TEST_F(Inject, AStoredHeadThatIsTiedFollowsTheEmbedding) {
  target_.set("lm_head.weight", target_.at("model.embed_tokens.weight"));
  write_all();
  run(0.5 * skill(), "out");
  const StateDict out = load(path("out"));
  EXPECT_TRUE(same_bits(out.at("lm_head.weight"), out.at("model.embed_tokens.weight")));
  EXPECT_FALSE(same_bits(out.at("lm_head.weight"), target_.at("lm_head.weight")));
}

TEST_F(Inject, VectorTensorsThatTheTargetLacksAreRefusedOrNamed) {
  for (StateDict* weights : {&base_, &tuned_}) weights->set("model.extra.weight", at::ones({4}));
  write_all();
  EXPECT_TRUE(
      holds(thrown_by<IncompatibleModels>([&] { run(skill(), "out"); }), "model.extra.weight"));
  InjectOptions options;
  options.check.allowed.insert("tensors");
  const InjectReport report = run(skill(), "out", options);
  ASSERT_EQ(report.left_out.size(), 1u);
  EXPECT_TRUE(holds(report.left_out[0], "model.extra.weight"));
  EXPECT_FALSE(load(path("out")).contains("model.extra.weight"));
}

TEST_F(Inject, DryRunTellsAndWritesNothing) {
  write_all();
  const auto before = entries_of(dir_.path());
  InjectOptions options;
  options.dry_run = true;
  const InjectReport dry = run(0.5 * skill(), "out", options);
  EXPECT_EQ(entries_of(dir_.path()), before);
  const InjectReport real = run(0.5 * skill(), "out");
  EXPECT_EQ(dry.computed_tensors, real.computed_tensors);
  EXPECT_EQ(dry.bytes_written, real.bytes_written);
  EXPECT_EQ(dry.bytes_read, real.bytes_read);
}

TEST_F(Inject, RefusesToWriteOverAnyInputInAnyForm) {
  write_all();
  fs::create_directory_symlink("target", dir_ / "link");
  fs::create_hard_link(dir_ / "base" / "model.safetensors", dir_ / "hard.safetensors");
  const auto before = model_files(dir_.path());
  InjectOptions options;
  options.replace_existing = true;
  for (const char* out :
       {"target", "target/", "./target/../target", "link", "tuned", "base", "target/out",
        "target/model.safetensors", "base/model.safetensors", "hard.safetensors", "."}) {
    thrown_by<UsageError>([&] { run(skill(), out, options); });
    EXPECT_EQ(model_files(dir_.path()), before) << out;
  }
}

TEST_F(Inject, RefusesAnExistingOutputUnlessToldToReplaceIt) {
  write_all();
  run(0.5 * skill(), "out");
  const auto first = model_files(dir_ / "out");
  thrown_by<UsageError>([&] { run(skill(), "out"); });
  EXPECT_EQ(model_files(dir_ / "out"), first);
  InjectOptions options;
  options.replace_existing = true;
  run(0.75 * skill(), "out", options);
  EXPECT_NE(model_files(dir_ / "out"), first);
}

TEST_F(Inject, DoesNotReplaceAFolderThatIsNoModel) {
  write_all();
  test::write_file(dir_ / "photos" / "cat.jpg", "cat");
  InjectOptions options;
  options.replace_existing = true;
  thrown_by<UsageError>([&] { run(skill(), "photos", options); });
  EXPECT_EQ(read_file(dir_ / "photos" / "cat.jpg"), "cat");
}

TEST_F(Inject, CancelledLeavesNothing) {
  write_all();
  const auto before = entries_of(dir_.path());
  for (const char* out : {"out", "out.safetensors"}) {
    std::atomic<bool> cancel = false;
    InjectOptions options;
    options.run.cancel = &cancel;
    options.run.on_progress = [&](const Progress&) { cancel = true; };
    EXPECT_THROW(run(skill(), out, options), Interrupted);
    EXPECT_EQ(entries_of(dir_.path()), before);
  }
}

TEST_F(Inject, CancelledKeepsWhatItWasToReplace) {
  write_all();
  run(0.5 * skill(), "out");
  const auto before = model_files(dir_.path());
  const std::atomic<bool> cancel = true;
  InjectOptions options;
  options.run.cancel = &cancel;
  options.replace_existing = true;
  EXPECT_THROW(run(skill(), "out", options), Interrupted);
  EXPECT_EQ(model_files(dir_.path()), before);
}

TEST_F(Inject, RefusesIncompatibleModelsAndLeavesNothing) {
  write_all();
  test::TinyModel other = model_;
  other.layers = 2;
  test::write_model(dir_ / "small", other, test::make_weights(other, 1));
  const auto before = entries_of(dir_.path());
  thrown_by<IncompatibleModels>([&] { inject(open("small"), skill(), path("out")); });
  EXPECT_EQ(entries_of(dir_.path()), before);
}

TEST_F(Inject, RefusesTensorsOfOtherShapesWhateverIsAllowed) {
  test::TinyModel wide;
  wide.hidden = 32;
  write_all();
  test::write_model(dir_ / "wide", wide, test::make_weights(wide, 1));
  InjectOptions options;
  options.check.allowed = {compatibility_topics().begin(), compatibility_topics().end()};
  const std::string message =
      thrown_by<IncompatibleModels>([&] { inject(open("wide"), skill(), path("out"), options); });
  EXPECT_TRUE(holds(message, "shapes"));
}

TEST_F(Inject, GivesTheSameBytesForAnyThreadsMemoryAndSharding) {
  test::TinyModel model;
  model.hidden = 64;
  model.vocab = 4000;
  make(model);
  write_all();
  write_into("split", "tuned", tuned_, 100'000);
  write_into("split", "base", base_, 70'000);
  run(0.8 * skill(), "expected");
  InjectOptions options;
  options.replace_existing = true;
  for (const unsigned threads : {1u, 2u, 7u}) {
    for (const std::uint64_t budget : {1ull << 20, 8ull << 20, 512ull << 20}) {
      options.run.threads = threads;
      options.run.memory_budget_bytes = budget;
      run(0.8 * skill(), "out", options);
      EXPECT_EQ(model_files(dir_ / "out"), model_files(dir_ / "expected"))
          << threads << " " << budget;
      EXPECT_EQ(read_file(dir_ / "out/suture.json"), read_file(dir_ / "expected/suture.json"));
    }
  }
  run(0.8 * (open("split/tuned") - open("split/base")), "out", options);
  EXPECT_EQ(model_files(dir_ / "out"), model_files(dir_ / "expected"));
}

TEST_F(Inject, VectorsInMemoryWorkToo) {
  write_all();
  run(0.5 * TaskVector::difference(tuned_, base_), "memory");
  run(0.5 * skill(), "disk");
  EXPECT_EQ(model_files(dir_ / "memory"), model_files(dir_ / "disk"));
}

TEST_F(Inject, ATargetThatIsOneFileGivesAFolderWithoutSideFiles) {
  write_all();
  inject(open("target/model.safetensors"), 0.5 * skill(), path("out"));
  EXPECT_EQ(entries_of(dir_ / "out"),
            (std::vector<std::string>{"model.safetensors", "suture.json"}));
}

// --- Vocabularies that differ -------------------------------------------------------------------

class InjectCommonVocabulary : public Inject {
 protected:
  // Tokens `first` to `last` of the donors' 40, in reverse, then `added` that only the target has.
  void make_target(std::int64_t added) {
    model_.tied = true;
    const std::int64_t rows = model_.vocab + added;
    StateDict target;
    const at::Tensor embedding = target_.at("model.embed_tokens.weight");
    for (const auto& [name, tensor] : target_) target.set(name, tensor);
    target.set("model.embed_tokens.weight",
               at::cat({embedding.flip({0}), at::ones({added, model_.hidden}).to(at::kBFloat16)}));
    target_ = target;
    write_all();
    test::TinyModel larger = model_;
    larger.vocab = rows;
    test::write_file(dir_ / "target" / "config.json", test::config_json(larger));
    std::string vocabulary;
    for (std::int64_t i = 0; i < rows; ++i) {
      const bool shared = i < model_.vocab;
      vocabulary +=
          (i > 0 ? ",\"" : "\"") +
          (shared ? "t" + std::to_string(model_.vocab - 1 - i) : "own" + std::to_string(i)) +
          "\":" + std::to_string(i);
    }
    test::write_file(dir_ / "target" / "tokenizer.json",
                     R"({"model":{"type":"BPE","vocab":{)" + vocabulary +
                         R"(},"merges":[]},"added_tokens":[]})");
  }

  InjectOptions common() const {
    InjectOptions options;
    options.check.vocabulary = VocabularyPolicy::kCommon;
    return options;
  }
};

TEST_F(InjectCommonVocabulary, IsRefusedByDefault) {
  make_target(3);
  const std::string message = thrown_by<IncompatibleModels>([&] { run(skill(), "out"); });
  EXPECT_TRUE(holds(message, "vocabulary"));
  EXPECT_TRUE(holds(message, "--vocab common"));
}

TEST_F(InjectCommonVocabulary, MatchesRowsByTokenTextAndKeepsTheTargetsOthers) {
  make_target(3);
  const InjectReport report = run(0.5 * skill(), "out", common());
  EXPECT_EQ(report.mapped_rows, 40u);
  const StateDict out = load(path("out"));
  const std::string name = "model.embed_tokens.weight";
  const at::Tensor delta =
      (tuned_.at(name).to(at::kFloat) - base_.at(name).to(at::kFloat)).flip({0});
  const at::Tensor target = target_.at(name);
  const at::Tensor mapped =
      (target.narrow(0, 0, 40).to(at::kFloat) + delta * 0.5f).to(at::kBFloat16);
  EXPECT_TRUE(same_bits(out.at(name).narrow(0, 0, 40), mapped));
  EXPECT_TRUE(same_bits(out.at(name).narrow(0, 40, 3), target.narrow(0, 40, 3)));
  for (const auto& [other, tensor] : target_) {
    if (other == name) continue;
    EXPECT_TRUE(same_bits(out.at(other), sum_by_torch(other, 0.5))) << other;
  }
}

TEST_F(InjectCommonVocabulary, MatchesAPermutationOfTheSameSize) {
  make_target(0);
  thrown_by<IncompatibleModels>([&] { run(skill(), "out"); });
  EXPECT_EQ(run(0.5 * skill(), "out", common()).mapped_rows, 40u);
}

TEST_F(InjectCommonVocabulary, AStoredVectorGivesTheSameBytes) {
  make_target(2);
  extract(open("tuned"), open("base"), path("v"));
  run(0.5 * skill(), "lazy", common());
  run(0.5 * TaskVector::open(path("v")), "stored", common());
  EXPECT_EQ(model_files(dir_ / "stored"), model_files(dir_ / "lazy"));
}

TEST_F(InjectCommonVocabulary, IsTheSameAsTheSameVocabularyWhenItIs) {
  write_all();
  run(0.5 * skill(), "same");
  run(0.5 * skill(), "common", common());
  EXPECT_EQ(model_files(dir_ / "common"), model_files(dir_ / "same"));
}

TEST_F(InjectCommonVocabulary, NeedsTheTokenizers) {
  make_target(1);
  extract(open("tuned"), open("base"), path("v.safetensors"));
  const TaskVector vector = TaskVector::open(path("v.safetensors"));
  thrown_by<IncompatibleModels>([&] { run(vector, "out", common()); });
  InjectOptions options = common();
  options.check.allowed.insert("tokenizer");
  const std::string message = thrown_by<UsageError>([&] { run(vector, "out", options); });
  EXPECT_TRUE(holds(message, "tokenizer"));
}

}  // namespace
}  // namespace suture
