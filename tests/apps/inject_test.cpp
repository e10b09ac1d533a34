// `suture inject`, run as its users run it.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/checkpoint.h"

#include "support/model_family.h"
#include "support/safetensors_builder.h"
#include "support/thrown.h"
#include "support/torch_archive_builder.h"

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

class Inject : public test::ModelFamily {
 protected:
  Inject() { make_vector(); }

  std::vector<std::string> inject(const std::string& vector,
                                  std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"inject", "target", vector, "-o", "new"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::string weights_of(const std::string& model) const {
    return read_file(dir_ / model / "model.safetensors");
  }
  // v.safetensors with another text in its `suture` key.
  void write_vector_that_says(const std::string& text) {
    const std::string good = read_file(dir_ / "v.safetensors");
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, good.data(), 8);
    auto header = nlohmann::ordered_json::parse(good.substr(8, bytes));
    header["__metadata__"]["suture"] = text;
    write_file(dir_ / "lie.safetensors",
               test::safetensors_bytes(header.dump(), good.substr(8 + bytes)));
    begin_here();
  }
  nlohmann::json truth() const {
    return nlohmann::json::parse(
        Checkpoint::open((dir_ / "v.safetensors").string()).metadata().at("suture"));
  }
};

TEST_F(Inject, WithScaleZeroGivesTheTargetBack) {
  ASSERT_TRUE(ended_with(run(inject("v.safetensors@0")), 0));
  auto output = tree_of(dir_ / "new"), target = tree_of(dir_ / "target");
  EXPECT_EQ(output.erase("suture.json"), 1u);
  EXPECT_TRUE(same_tree(output, target));
}

TEST_F(Inject, AVectorAndItsDifferenceAreTheSame) {
  ASSERT_TRUE(ended_with(run(inject("v.safetensors@0.5", {"--quiet"})), 0));
  ASSERT_TRUE(
      ended_with(run({"inject", "target", "(tuned - base)@0.5", "-o", "other", "--quiet"}), 0));
  EXPECT_EQ(weights_of("new"), weights_of("other"));
  EXPECT_NE(weights_of("new"), weights_of("target"));
}

TEST_F(Inject, OfAVectorAndItsNegativeIsNothing) {
  ASSERT_TRUE(ended_with(
      run({"inject", "target", "v.safetensors@0.5", "v.safetensors@-0.5", "-o", "new", "--quiet"}),
      0));
  EXPECT_EQ(weights_of("new"), weights_of("target"));
}

TEST_F(Inject, SaysWhereTheOutputCameFrom) {
  ASSERT_TRUE(ended_with(run(inject("v.safetensors@0.5")), 0));
  const auto provenance = nlohmann::json::parse(read_file(dir_ / "new" / "suture.json"));
  EXPECT_EQ(provenance.at("target"), "target");
  EXPECT_TRUE(holds(provenance.at("formula").get<std::string>(), "0.5 * v.safetensors"));
}

TEST_F(Inject, IntoATargetThatIsNotFitIsDeclined) {
  TinyModel wide = model_;
  wide.hidden = 32;
  add_model("wide", wide);
  const Outcome outcome = run({"inject", "wide", "v.safetensors", "-o", "new"});
  EXPECT_TRUE(ended_with(outcome, 1));
  EXPECT_TRUE(holds(outcome.err, "hidden_size"));
  EXPECT_TRUE(nothing_left_behind());
}

TEST_F(Inject, IntoAnotherVocabularyMatchesRowsByText) {
  TinyModel wordy = model_;
  wordy.vocab = 14;
  StateDict weights;
  for (const auto& [name, tensor] : test::make_relative(base_, 4)) {
    weights.set(name, name == "model.embed_tokens.weight"
                          ? at::cat({tensor, at::ones({2, tensor.size(1)}, tensor.options())})
                          : tensor);
  }
  test::write_model(dir_ / "wordy", wordy, weights);
  make({"extract", "tuned", "base", "-o", "vector", "--quiet"});
  const std::vector<std::string> arguments{"inject", "wordy", "vector", "-o", "new"};
  EXPECT_TRUE(ended_with(run(arguments), 1));
  EXPECT_TRUE(nothing_left_behind());
  std::vector<std::string> common = arguments;
  common.insert(common.end(), {"--vocab", "common"});
  const Outcome outcome = run(common);
  ASSERT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.err, "12 vocabulary rows matched"));
  const StateDict result = load((dir_ / "new").string());
  const at::Tensor rows = result.at("model.embed_tokens.weight");
  EXPECT_TRUE(at::equal(rows.slice(0, 12), weights.at("model.embed_tokens.weight").slice(0, 12)));
  EXPECT_FALSE(
      at::equal(rows.slice(0, 0, 12), weights.at("model.embed_tokens.weight").slice(0, 0, 12)));
}

TEST_F(Inject, IntoAVectorIsRefused) {
  EXPECT_TRUE(refuses({"inject", "v.safetensors", "v.safetensors", "-o", "new"},
                      "a task vector, not a model"));
}

// Three files of one tensor of four floats; the target as torch.save writes it.
TEST_F(Inject, IntoATorchFileWritesSafetensors) {
  const std::vector<float> target{1, 2, 3, 4}, tuned{1, 2.5, 3, 4}, base{1, 2, 3, 4.5};
  write_file(dir_ / "torch" / "pytorch_model.bin",
             test::torch_archive(test::pickled::dict({{"w", test::pickled::four_floats()}}),
                                 {{"0", test::bytes_of_values(target)}}));
  test::SafetensorsBuilder().add("w", tuned).write(dir_ / "one" / "model.safetensors");
  test::SafetensorsBuilder().add("w", base).write(dir_ / "two" / "model.safetensors");
  ASSERT_TRUE(ended_with(
      run({"inject", "torch", "one - two", "-o", "new", "--allow", "kinship", "--quiet"}), 0));
  EXPECT_EQ(test::entries_of(dir_ / "new"),
            (std::vector<std::string>{"model.safetensors", "suture.json"}));
  const at::Tensor expected = at::tensor({1.F, 2.5F, 3.F, 3.5F});
  EXPECT_TRUE(at::equal(load((dir_ / "new").string()).at("w"), expected));
}

TEST_F(Inject, KeepsTheShardsOfTheTarget) {
  test::write_model(dir_ / "sharded", model_, test::make_relative(base_, 3), 2000);
  ASSERT_TRUE(ended_with(run({"inject", "sharded", "v.safetensors", "-o", "new", "-q"}), 0));
  ASSERT_TRUE(ended_with(run({"inject", "target", "v.safetensors", "-o", "one", "-q"}), 0));
  auto names = [&](const std::string& folder) {
    auto found = test::entries_of(dir_ / folder);
    found.erase(std::remove(found.begin(), found.end(), "suture.json"), found.end());
    return found;
  };
  EXPECT_EQ(names("new"), names("sharded"));
  EXPECT_GT(names("new").size(), 6u);
  const StateDict sharded = load((dir_ / "new").string()), one = load((dir_ / "one").string());
  for (const auto& [name, tensor] : one) EXPECT_TRUE(at::equal(tensor, sharded.at(name))) << name;
}

TEST_F(Inject, CopiesOddSideFilesAndRefusesHostileOnes) {
  write_file(dir_ / "target" / "with space\n.txt", "odd");
  write_file(dir_ / "target" / "nested" / "deeper" / "file.json", "{}");
  write_file(dir_ / "target" / "empty", "");
  ASSERT_TRUE(ended_with(run(inject("v.safetensors", {"--quiet"})), 0));
  EXPECT_EQ(read_file(dir_ / "new" / "with space\n.txt"), "odd");
  EXPECT_EQ(read_file(dir_ / "new" / "nested" / "deeper" / "file.json"), "{}");
  EXPECT_TRUE(fs::exists(dir_ / "new" / "empty"));
  fs::remove_all(dir_ / "new");
  write_file(dir_ / "secret", "password");
  fs::create_symlink("../secret", dir_ / "target" / "readme.md");
  begin_here();
  EXPECT_TRUE(refuses(inject("v.safetensors"), "a link that leaves the model's folder"));
  fs::remove(dir_ / "target" / "readme.md");
  ASSERT_EQ(::mkfifo((dir_ / "target" / "pipe").c_str(), 0666), 0);
  EXPECT_TRUE(refuses(inject("v.safetensors"), "a FIFO"));
}

TEST_F(Inject, OfAVectorWhoseMetadataIsNonsenseIsRefused) {
  for (const std::string text :
       {"", "{", "[]", "null", "7", "{}", R"({"format_version":1})", R"({"format_version":"1"})",
        R"({"format_version":99})", R"({"format_version":-1})"}) {
    write_vector_that_says(text);
    EXPECT_TRUE(refuses(inject("lie.safetensors"), "lie.safetensors")) << text;
    EXPECT_TRUE(refuses({"analyze", "lie.safetensors"}, "lie.safetensors")) << text;
  }
}

TEST_F(Inject, OfAVectorWithAWrongFieldIsRefused) {
  const nlohmann::json good = truth();
  for (const auto& [name, value] : good.items()) {
    for (const nlohmann::json& wrong : {nlohmann::json(7.5), nlohmann::json::array({nullptr})}) {
      if (value.is_array() && wrong.is_array() && value.empty()) continue;
      nlohmann::json lie = good;
      lie[name] = wrong;
      if (name == "format_version" && wrong.is_number()) continue;
      write_vector_that_says(lie.dump());
      EXPECT_TRUE(refuses(inject("lie.safetensors"), "lie.safetensors")) << name << wrong;
    }
  }
}

TEST_F(Inject, OfAVectorWithADamagedSampleIsRefused) {
  nlohmann::json lie = truth();
  for (const std::string sample :
       {"", "{}", R"({"tensors":[],"values":"zz"})", R"({"tensors":["a"],"values":"abc"})",
        R"({"tensors":[1e99],"values":""})", R"({"tensors":{"a":-1},"values":"00000000"})"}) {
    lie["base_sample"] = sample;
    write_vector_that_says(lie.dump());
    EXPECT_TRUE(refuses(inject("lie.safetensors"), "lie.safetensors")) << sample;
  }
}

// What a vector claims of its origin is compared with the target, and cannot break the terminal.
TEST_F(Inject, OfAVectorThatLiesIsDeclinedOrShownEscaped) {
  nlohmann::json lie = truth();
  lie["architecture"] = "\x1B[2JLlamaForCausalLM";
  lie["left_out"] = {"\x1B[2J"};
  write_vector_that_says(lie.dump());
  const Outcome outcome = run(inject("lie.safetensors"));
  EXPECT_TRUE(ended_with(outcome, 1));
  EXPECT_TRUE(holds(outcome.err, "LlamaForCausalLM"));
  EXPECT_EQ(outcome.err.find('\x1B'), std::string::npos) << outcome.err;
  EXPECT_TRUE(nothing_left_behind());
  lie = truth();
  lie["formula"] = "\x1B[2Jtuned\n- base";
  lie["donors"][0]["name"] = "\x1B[2Jdonor";
  write_vector_that_says(lie.dump());
  const Outcome analysis = run({"analyze", "lie.safetensors"});
  EXPECT_TRUE(ended_with(analysis, 0));
  EXPECT_EQ((analysis.out + analysis.err).find('\x1B'), std::string::npos);
  lie = truth();
  lie["tokenizer_digest"] = std::string(32, '0');
  write_vector_that_says(lie.dump());
  EXPECT_TRUE(ended_with(run(inject("lie.safetensors")), 1));
}

TEST_F(Inject, WithADtypeSaysSoInTheConfig) {
  ASSERT_TRUE(ended_with(run(inject("v.safetensors", {"--dtype", "f32", "--quiet"})), 0));
  const auto config = nlohmann::json::parse(read_file(dir_ / "new" / "config.json"));
  EXPECT_EQ(config.at("torch_dtype"), "float32");
  const Checkpoint output = Checkpoint::open((dir_ / "new").string());
  for (const TensorInfo& tensor : output.tensors())
    EXPECT_EQ(tensor.dtype, Dtype::kF32) << tensor.name;
}

}  // namespace
}  // namespace suture
