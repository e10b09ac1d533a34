// `suture analyze`, run as its users run it.

#include <algorithm>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/model_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::ended_with;
using test::holds;
using test::Outcome;

class Analyze : public test::ModelFamily {
 protected:
  Analyze() { make_vector(); }

  nlohmann::json json_of(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "analyze");
    arguments.insert(arguments.end(), {"--json", "-"});
    const Outcome outcome = run(arguments);
    EXPECT_TRUE(ended_with(outcome, 0));
    EXPECT_EQ(outcome.err, "");
    return nlohmann::json::parse(outcome.out);
  }
};

TEST_F(Analyze, AVectorAndTwoModelsAgree) {
  const auto vector = json_of({"v.safetensors"}).at("vectors").at(0);
  const auto models = json_of({"tuned", "base"}).at("vectors").at(0);
  EXPECT_EQ(vector.at("name"), "v.safetensors");
  EXPECT_EQ(models.at("name"), "tuned - base");
  for (const char* measure : {"norm", "base_norm", "max", "changed_elements"}) {
    EXPECT_DOUBLE_EQ(vector.at("total").at(measure).get<double>(),
                     models.at("total").at(measure).get<double>());
  }
  EXPECT_EQ(vector.at("layers").size(), 3u);  // two and what is outside
  EXPECT_EQ(vector.at("tensors").size(), base_.size());
}

TEST_F(Analyze, TextHoldsWhatJsonHolds) {
  const auto total = json_of({"v.safetensors"}).at("vectors").at(0).at("total");
  const Outcome text = run({"analyze", "v.safetensors"});
  char norm[32];
  std::snprintf(norm, sizeof norm, "norm %.4g", total.at("norm").get<double>());
  EXPECT_TRUE(holds(text.out, norm));
}

TEST_F(Analyze, SeveralVectorsAreCompared) {
  const Outcome outcome = run({"analyze", "v.safetensors", "v.safetensors@-1"});
  EXPECT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(holds(outcome.out, "cosine"));
}

TEST_F(Analyze, CsvHasOneHeadAndAsManyColumnsEverywhere) {
  const Outcome outcome = run({"analyze", "v.safetensors", "--csv", "-"});
  ASSERT_TRUE(ended_with(outcome, 0));
  std::size_t lines = 0, columns = 0;
  for (std::size_t at = 0; at < outcome.out.size(); ++lines) {
    const std::size_t end = outcome.out.find('\n', at);
    const std::string line = outcome.out.substr(at, end - at);
    const auto commas = static_cast<std::size_t>(std::count(line.begin(), line.end(), ','));
    if (lines == 0) columns = commas;
    EXPECT_EQ(commas, columns) << line;
    at = end + 1;
  }
  EXPECT_GT(lines, 20u);
}

TEST_F(Analyze, AsciiIsPlain) {
  test::Invocation call = invocation({"analyze", "v.safetensors", "--ascii"});
  call.environment = {{"LC_ALL", "C.UTF-8"}};
  const Outcome plain = test::run_program(call);
  for (const char c : plain.out) EXPECT_LT(static_cast<unsigned char>(c), 0x80);
  call.arguments.pop_back();
  EXPECT_NE(test::run_program(call).out, plain.out);
}

TEST_F(Analyze, OfStrangeValuesStaysReadable) {
  StateDict odd = test::make_relative(base_, 8);
  at::Tensor values = odd.at("model.norm.weight").clone();
  values[0] = std::numeric_limits<float>::quiet_NaN();
  values[1] = std::numeric_limits<float>::infinity();
  odd.set("model.norm.weight", values);
  test::write_model(dir_ / "odd", model_, odd);
  const Outcome outcome = run({"analyze", "odd", "base", "--json", "-"});
  EXPECT_TRUE(ended_with(outcome, 0));
  EXPECT_TRUE(nlohmann::json::accept(outcome.out)) << outcome.out;
  EXPECT_TRUE(holds(outcome.out, "\"non_finite\": 2"));
  EXPECT_TRUE(ended_with(run({"analyze", "odd", "base"}), 0));
}

TEST_F(Analyze, SpectraStandBesideTheOtherMeasures) {
  const auto plain = json_of({"tuned", "base"}),
             full = json_of({"tuned", "base", "--spectrum", "--rank", "3"});
  for (const auto& tensor : full.at("vectors").at(0).at("tensors")) {
    const bool is_matrix = tensor.at("name").get<std::string>().find("norm") == std::string::npos &&
                           tensor.at("name").get<std::string>().find("bias") == std::string::npos;
    EXPECT_EQ(tensor.contains("spectrum"), is_matrix) << tensor.at("name");
    if (is_matrix) {
      EXPECT_EQ(tensor.at("spectrum").at("singular_values").size(), 3u);
    }
  }
  EXPECT_EQ(plain.at("vectors").at(0).at("total"), full.at("vectors").at(0).at("total"));
  EXPECT_FALSE(plain.contains("spectrum"));
  const Outcome text = run({"analyze", "v.safetensors", "v.safetensors@-1", "--spectrum"});
  EXPECT_TRUE(ended_with(text, 0));
  EXPECT_TRUE(holds(text.out, "stand out most from noise"));
  EXPECT_TRUE(holds(text.out, "subspaces are most alike"));
}

TEST_F(Analyze, SpectraOfStrangeValuesAreRefusedTensorByTensor) {
  StateDict odd = test::make_relative(base_, 8);
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  at::Tensor values = odd.at(name).clone();
  values[0][0] = std::numeric_limits<float>::quiet_NaN();
  odd.set(name, values);
  test::write_model(dir_ / "odd", model_, odd);
  const auto json = json_of({"odd", "base", "--spectrum"});
  for (const auto& tensor : json.at("vectors").at(0).at("tensors")) {
    const bool is_odd = tensor.at("name") == name;
    EXPECT_EQ(tensor.contains("spectrum_reason"), is_odd);
    if (is_odd) {
      EXPECT_EQ(tensor.at("spectrum_reason"), "1 entry is NaN or infinite");
    }
  }
}

TEST_F(Analyze, ARankIsOneOfSpectra) {
  EXPECT_TRUE(refuses({"analyze", "v.safetensors", "--rank", "3"}, "--rank without --spectrum"));
  EXPECT_TRUE(refuses({"analyze", "v.safetensors", "--spectrum", "--rank", "0"}, "--rank '0'"));
}

}  // namespace
}  // namespace suture
