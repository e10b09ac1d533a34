#include "lora/adapter_writer.h"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "lora/adapter_config.h"

namespace suture {
namespace {

using Json = nlohmann::json;
using Names = std::vector<std::string>;

AdapterContent content_of(const Names& adapted, const Names& present) {
  AdapterContent content;
  for (const std::string& name : adapted) content.modules[name] = {4, false};
  content.model_modules = {present.begin(), present.end()};
  return content;
}

TEST(AdapterWriter, TargetsBySharedNameOnlyWhereAllOfThatNameAreMeant) {
  const Names present{"l.0.q_proj", "l.1.q_proj", "l.0.o_proj", "l.1.o_proj", "norm"};
  EXPECT_EQ(target_names(content_of({"l.0.q_proj", "l.1.q_proj", "l.1.o_proj"}, present)),
            (Names{"l.1.o_proj", "q_proj"}));
}

TEST(AdapterWriter, ConfigScalesEveryModuleByOne) {
  AdapterContent content = content_of({"a.q", "b.q"}, {"a.q", "b.q", "n"});
  content.modules["b.q"].rank = 7;
  content.base_model = "org/base";
  const Json config = Json::parse(adapter_config_text(content));
  EXPECT_EQ(config.at("peft_type"), "LORA");
  EXPECT_EQ(config.at("base_model_name_or_path"), "org/base");
  EXPECT_EQ(config.at("r"), 7);
  EXPECT_EQ(config.at("lora_alpha"), 7);
  EXPECT_EQ(config.at("rank_pattern"), (Json{{"a.q", 4}}));
  EXPECT_EQ(config.at("alpha_pattern"), config.at("rank_pattern"));
  EXPECT_EQ(config.at("target_modules"), (Json{"q"}));
  EXPECT_EQ(config.at("bias"), "none");
  EXPECT_TRUE(config.at("modules_to_save").is_null());
}

// PEFT takes the first pattern that matches the end of a name.
TEST(AdapterWriter, EveryModuleHasItsRankWhereNamesEndInOthers) {
  const std::map<std::string, std::int64_t> wanted{
      {"layers.0.fc1", 2}, {"mtp.layers.0.fc1", 5}, {"x.mtp.layers.0.fc1", 7}, {"layers.1.fc1", 7}};
  AdapterContent content;
  for (const auto& [name, rank] : wanted) content.modules[name] = {rank, false};
  const lora::ModuleScales scales(
      lora::parse_adapter_config(adapter_config_text(content), "adapter_config.json"), "");
  for (const auto& [name, rank] : wanted) {
    EXPECT_EQ(scales.rank_of(name), rank) << name;
    EXPECT_EQ(scales.scale_of(name), 1) << name;
  }
}

TEST(AdapterWriter, NamesTensorsAsPeftLooksForThem) {
  AdapterContent content = content_of({"m.q"}, {"m.q", "m.k", "m.norm"});
  EXPECT_EQ(name_of_down("m.q", {4, false}), "base_model.model.m.q.lora_A.weight");
  EXPECT_EQ(name_of_up("m.e", {4, true}), "base_model.model.m.e.lora_embedding_B");
  EXPECT_EQ(name_of_whole("m.q.bias", content), "base_model.model.m.q.base_layer.bias");
  EXPECT_EQ(name_of_whole("m.k.bias", content), "base_model.model.m.k.bias");
  EXPECT_EQ(name_of_whole("m.norm.weight", content), "base_model.model.m.norm.weight");
}

TEST(AdapterWriter, ANameThatIsNoUtf8IsReplaced) {
  AdapterContent content = content_of({"q"}, {"q"});
  content.base_model = "\xff";
  EXPECT_NO_THROW(Json::parse(adapter_config_text(content)));
}

}  // namespace
}  // namespace suture
