#include "names/tower.h"

#include <gtest/gtest.h>

namespace suture {
namespace {

TEST(Tower, IsWhatStandsBeforeLayersAndEmbedding) {
  EXPECT_EQ(tower_of("model.layers.0.mlp.up_proj.weight"), "model.");
  EXPECT_EQ(tower_of("language_model.model.embed_tokens.weight"), "language_model.model.");
  EXPECT_EQ(tower_of("h.3.attn.c_attn.weight"), "");
  EXPECT_EQ(tower_of("visual.blocks.7.norm1.bias"), "visual.");
}

TEST(Tower, HasNoOtherTensors) {
  for (const char* name : {"lm_head.weight", "model.norm.weight", "layers", "layers.", "layers.x.y",
                           "model.layers.weight", "", ".", "h"})
    EXPECT_FALSE(tower_of(name)) << name;
}

TEST(Tower, IsAroundWhatHasItsPrefix) {
  const Towers towers{"model.", "model.vision."};
  EXPECT_EQ(tower_around("model.norm.weight", towers), "model.");
  EXPECT_EQ(tower_around("model.vision.norm.weight", towers), "model.vision.");
  EXPECT_EQ(tower_around("other.layers.0.w", towers), "other.");
  EXPECT_FALSE(tower_around("lm_head.weight", towers));
  EXPECT_EQ(tower_around("lm_head.weight", {""}), "");
}

TEST(Tower, IsCommonWhereATensorIs) {
  const auto tensors = [](std::vector<std::string> names) {
    std::vector<TensorInfo> infos(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) infos[i].name = names[i];
    return infos;
  };
  const auto a = tensors({"model.layers.0.a", "visual.blocks.0.a", "lm_head.weight"});
  const auto b = tensors({"model.layers.0.a", "visual.blocks.1.a", "lm_head.weight"});
  EXPECT_EQ(common_towers(a, b), (std::set<std::string_view>{"model."}));
  EXPECT_EQ(towers_of(b), (Towers{"model.", "visual."}));
}

}  // namespace
}  // namespace suture
