// `suture check`: what it finds, what it calls it, and its exit status.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <sys/stat.h>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/model_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::ended_with;
using test::holds;
using test::Outcome;
using test::TinyModel;
using test::write_file;

class Check : public test::ModelFamily {
 protected:
  void set_config(const std::string& model,
                  const std::map<std::string, std::string>& fields) const {
    TinyModel shape = model_;
    shape.config = fields;
    write_file(dir_ / model / "config.json", test::config_json(shape));
  }

  // `base` and `model` are not fit, and the report says `found`.
  testing::AssertionResult finds(const std::string& model, const std::string& found,
                                 std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"check", "base", model};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run(arguments);
    if (const auto ended = ended_with(outcome, 1); !ended) return ended;
    if (!outcome.err.empty()) return testing::AssertionFailure() << "stderr: " << outcome.err;
    return holds(outcome.out, found);
  }

  testing::AssertionResult accepts(const std::string& model, const std::string& said,
                                   std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"check", "base", model};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run(arguments);
    if (const auto ended = ended_with(outcome, 0); !ended) return ended;
    return holds(outcome.out + outcome.err, said);
  }
};

TEST_F(Check, RelativesAreFit) {
  EXPECT_TRUE(accepts("tuned", "fit for surgery"));
  EXPECT_TRUE(ended_with(run({"check", "base", "tuned", "target"}), 0));
}

TEST_F(Check, JsonSaysWhatTheTextSays) {
  set_config("tuned", {{"rms_norm_eps", "1e-05"}});
  const Outcome text = run({"check", "base", "tuned"}),
                json = run({"check", "base", "tuned", "--json", "-"});
  EXPECT_TRUE(ended_with(text, 1));
  EXPECT_TRUE(ended_with(json, 1));
  const auto report = nlohmann::json::parse(json.out);
  EXPECT_FALSE(report.at("fit").get<bool>());
  ASSERT_EQ(report.at("findings").size(), 1u);
  EXPECT_EQ(report.at("findings")[0].at("severity"), "blocker");
  EXPECT_TRUE(holds(report.at("findings")[0].at("found").get<std::string>(), "1e-05"));
  EXPECT_TRUE(holds(text.out, "1e-05"));
  EXPECT_EQ(report.at("kinship").size(), 1u);
}

TEST_F(Check, EveryDifferenceIsToldAtOnce) {
  set_config("tuned", {{"architectures", "[\"LlamaForCausalLM\"]"},
                       {"rms_norm_eps", "1e-05"},
                       {"rope_theta", "10000.0"},
                       {"tie_word_embeddings", "false"}});
  const Outcome outcome = run({"check", "base", "tuned"});
  EXPECT_TRUE(ended_with(outcome, 1));
  for (const char* found : {"LlamaForCausalLM", "1e-05", "rope_theta", "untied"})
    EXPECT_TRUE(holds(outcome.out, found));
}

TEST_F(Check, MissingConfigIsAWarning) {
  fs::remove(dir_ / "tuned" / "config.json");
  EXPECT_TRUE(accepts("tuned", "no config.json"));
}

TEST_F(Check, NonsenseInTheConfigIsRefused) {
  for (const std::string value : {"\"16\"", "-16", "0", "1e30", "[16]", "1.5"}) {
    set_config("tuned", {{"hidden_size", value}});
    EXPECT_TRUE(refuses({"check", "base", "tuned"}, "hidden_size is ")) << value;
  }
  for (const std::string text :
       {"", "{", "[]", "null", "{\"hidden_size\": 1, \"hidden_size\": 2}", "\xFF\xFE{}"}) {
    write_file(dir_ / "tuned" / "config.json", text);
    EXPECT_TRUE(refuses({"check", "base", "tuned"}, "tuned/config.json")) << text;
  }
}

TEST_F(Check, FourGigabytesOfConfigAreRefused) {
  fs::resize_file(dir_ / "tuned" / "config.json", std::uintmax_t{4} << 30);
  EXPECT_TRUE(refuses({"check", "base", "tuned"}, "4294967296 bytes; expected at most"));
}

TEST_F(Check, ConfigThatIsNoFileIsRefused) {
  fs::remove(dir_ / "tuned" / "config.json");
  fs::create_directory(dir_ / "tuned" / "config.json");
  EXPECT_TRUE(refuses({"check", "base", "tuned"}, "a directory"));
  fs::remove(dir_ / "tuned" / "config.json");
  ASSERT_EQ(::mkfifo((dir_ / "tuned" / "config.json").c_str(), 0666), 0);
  EXPECT_TRUE(refuses({"check", "base", "tuned"}, "a FIFO"));
}

TEST_F(Check, QuantisedModelsAreNotFit) {
  set_config("tuned", {{"quantization_config", R"({"quant_method": "gptq", "bits": 4})"}});
  EXPECT_TRUE(finds("tuned", "quantised (gptq)"));
  EXPECT_TRUE(accepts("tuned", "quantised (gptq)", {"--allow", "quantisation"}));
}

TEST_F(Check, OtherArchitecturesAreNotFit) {
  set_config("tuned", {{"architectures", "[\"LlamaForCausalLM\"]"}});
  EXPECT_TRUE(finds("tuned", "LlamaForCausalLM"));
}

TEST_F(Check, OtherWidthsAndDepthsAreNotFit) {
  TinyModel other = model_;
  other.hidden = 32;
  add_model("wide", other);
  EXPECT_TRUE(finds("wide", "hidden_size: 16 in base, 32 in wide"));
  EXPECT_TRUE(finds("wide", "shapes"));
  other = model_;
  other.layers = 3;
  add_model("deep", other);
  EXPECT_TRUE(finds("deep", "2 layers in base, 3 layers in deep"));
}

TEST_F(Check, OtherVocabulariesAreNotFitUnlessMatchedByText) {
  TinyModel other = model_;
  other.vocab = 14;
  add_model("wordy", other);
  EXPECT_TRUE(finds("wordy", "--vocab common"));
  EXPECT_TRUE(finds("wordy", "vocabulary", {"--allow", "kinship"}));
  EXPECT_TRUE(
      accepts("wordy", "matched by token text", {"--vocab", "common", "--allow", "kinship"}));
}

TEST_F(Check, TiedAndUntiedAreNotFit) {
  TinyModel other = model_;
  other.tied = false;
  add_model("untied", other);
  EXPECT_TRUE(finds("untied", "tied in base, untied in untied"));
  EXPECT_TRUE(accepts("untied", "tied", {"--allow", "tied,kinship"}));
}

TEST_F(Check, OtherDtypesAreFit) {
  TinyModel other = model_;
  other.dtype = at::kFloat;
  add_model("wide", other);
  EXPECT_TRUE(accepts("wide", "each is read as it is stored"));
}

TEST_F(Check, StrangersAreNotFit) {
  test::write_model(dir_ / "stranger", model_, test::make_weights(model_, 99));
  EXPECT_TRUE(finds("stranger", "kinship"));
  EXPECT_TRUE(accepts("stranger", "kinship", {"--allow", "kinship"}));
}

TEST_F(Check, TheSameModelTwiceIsToldOf) { EXPECT_TRUE(accepts("base", "no difference found")); }

TEST_F(Check, TakesVectorsBehindTheFirstModel) {
  make_vector();
  for (const char* vector :
       {"tuned - base", "tuned - base@0.5", "v.safetensors", "v.safetensors@0.5"}) {
    const Outcome outcome = run({"check", "target", vector});
    EXPECT_TRUE(ended_with(outcome, 0)) << vector;
    EXPECT_EQ(outcome.out.find("no difference found"), std::string::npos) << outcome.out;
  }
  EXPECT_EQ(run({"check", "base", "tuned - base"}).out.find("no difference found"),
            std::string::npos);
  EXPECT_TRUE(refuses({"check", "tuned - base", "base"}, "a model first"));
  for (const char* odd : {"tuned-base", "tuned -base", "target - tuned - base"})
    EXPECT_TRUE(refuses({"inject", "target", odd, "-o", "new"}, "a blank on each side"));
  EXPECT_TRUE(refuses({"inject", "target", "my-vectr", "-o", "new"}, "cannot be opened"));
}

TEST_F(Check, OtherTokenIdsAreNotFit) {
  std::string text = test::tokenizer_json(model_.vocab);
  text.replace(text.find("\"t3\":3"), 6, "\"t3\":4");
  text.replace(text.find("\"t4\":4"), 6, "\"t4\":3");
  write_file(dir_ / "tuned" / "tokenizer.json", text);
  EXPECT_TRUE(finds("tuned", "2 tokens have other ids"));
}

TEST_F(Check, NonsenseInTheTokenizerIsRefused) {
  for (const std::string text :
       {"{}", "[]", R"({"model":{"vocab":{"a":-1}}})", R"({"model":{"vocab":{"a":"b"}}})",
        R"({"model":{"vocab":7}})", "x"}) {
    write_file(dir_ / "tuned" / "tokenizer.json", text);
    EXPECT_TRUE(refuses({"check", "base", "tuned"}, "tuned/tokenizer.json")) << text;
  }
}

TEST_F(Check, NamesInAReportCannotMoveTheCursor) {
  const std::string name = "\x1B[31mred\x1B[0m\r\xE2\x80\xAE";
  set_config("tuned",
             {{"architectures", R"(["\u001b[2Jevil"])"}, {"hidden_act", R"("\u001b]0;x")"}});
  fs::rename(dir_ / "tuned", dir_ / name);
  const Outcome outcome = run({"check", "base", name});
  EXPECT_TRUE(ended_with(outcome, 1));
  EXPECT_EQ((outcome.out + outcome.err).find_first_of("\x1B\r"), std::string::npos) << outcome.out;
}

}  // namespace
}  // namespace suture
