#include "suture/site.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace suture {
namespace {

struct Case {
  const char* name;
  std::optional<int> layer;
  Block block;
  const char* module;
};

TEST(Site, IsReadOffTheNamesOfHuggingFaceDecoders) {
  const std::vector<Case> cases{
      {"model.embed_tokens.weight", {}, Block::kEmbedding, "embed_tokens"},
      {"model.layers.12.self_attn.q_proj.weight", 12, Block::kAttention, "q_proj"},
      {"model.layers.12.self_attn.q_proj.bias", 12, Block::kAttention, "q_proj"},
      {"model.layers.0.mlp.down_proj.weight", 0, Block::kMlp, "down_proj"},
      {"model.layers.3.input_layernorm.weight", 3, Block::kNorm, "input_layernorm"},
      {"model.layers.3.post_attention_layernorm.weight", 3, Block::kNorm,
       "post_attention_layernorm"},
      {"model.layers.7.self_attn.q_norm.weight", 7, Block::kAttention, "q_norm"},
      {"model.norm.weight", {}, Block::kNorm, "norm"},
      {"lm_head.weight", {}, Block::kHead, "lm_head"},
      {"transformer.h.3.mlp.c_fc.bias", 3, Block::kMlp, "c_fc"},
      {"transformer.h.3.attn.c_attn.weight", 3, Block::kAttention, "c_attn"},
      {"transformer.h.3.ln_1.weight", 3, Block::kNorm, "ln_1"},
      {"transformer.wte.weight", {}, Block::kEmbedding, "wte"},
      {"gpt_neox.layers.5.attention.dense.weight", 5, Block::kAttention, "dense"},
      {"model.layers.4.block_sparse_moe.experts.2.w1.weight", 4, Block::kMlp, "w1"},
      {"model.language_model.layers.9.mlp.gate_proj.weight", 9, Block::kMlp, "gate_proj"},
  };
  for (const Case& c : cases) {
    const Site site = site_of(c.name);
    EXPECT_EQ(site.layer, c.layer) << c.name;
    EXPECT_EQ(site.block, c.block) << c.name;
    EXPECT_EQ(site.module, c.module) << c.name;
  }
}

TEST(Site, OfAnUnknownNameIsOtherWithTheLastPartButOneAsModule) {
  const Site site = site_of("encoder.rotary.inv_freq");
  EXPECT_EQ(site.layer, std::nullopt);
  EXPECT_EQ(site.block, Block::kOther);
  EXPECT_EQ(site.module, "rotary");
  EXPECT_EQ(site_of("weight").module, "weight");
}

TEST(Site, TakesNamesWithoutAnySense) {
  for (const char* name : {"", ".", "..", "layers.", "layers..weight", "model.layers.weight",
                           "model.layers.-1.weight", "model.layers.1x.weight",
                           "model.layers.+1.weight", "model.layers.99999999999999999999.weight"}) {
    EXPECT_EQ(site_of(name).layer, std::nullopt) << name;
  }
}

// A layer index sizes tables: a name must not be able to ask for gigabytes of them.
TEST(Site, NoModelHasMillionsOfLayers) {
  EXPECT_EQ(site_of("model.layers.2147483647.mlp.up_proj.weight").layer, std::nullopt);
  EXPECT_EQ(site_of("model.layers.100000.mlp.up_proj.weight").layer, std::nullopt);
  EXPECT_EQ(site_of("model.layers.9999.mlp.up_proj.weight").layer, 9999);
}

TEST(Block, NamesReadBackToThemselves) {
  for (const Block block : {Block::kAttention, Block::kMlp, Block::kNorm, Block::kEmbedding,
                            Block::kHead, Block::kOther}) {
    EXPECT_EQ(block_from_name(name_of(block)), block);
  }
  EXPECT_EQ(block_from_name("Attention"), std::nullopt);
  EXPECT_EQ(block_from_name(""), std::nullopt);
}

}  // namespace
}  // namespace suture
