#include "names/fused_projections.h"

#include <gtest/gtest.h>

namespace suture {
namespace {

using Rows = std::array<std::int64_t, 3>;

const Fusion& attention() { return *fusion_place_of("x.self_attn.qkv_proj.weight")->fusion; }
const Fusion& gate_up() { return *fusion_place_of("x.mlp.up_proj.weight")->fusion; }

TEST(FusedProjections, HaveAPlace) {
  const auto place = fusion_place_of("model.layers.3.self_attn.k_proj.bias");
  ASSERT_TRUE(place);
  EXPECT_FALSE(place->is_fused);
  EXPECT_TRUE(place->fusion->is_attention());
  EXPECT_EQ(place->name_of(place->fusion->fused), "model.layers.3.self_attn.qkv_proj.bias");
  EXPECT_TRUE(is_fused_projection("layers.0.mlp.gate_up_proj.weight"));
  for (const char* name :
       {"layers.0.mlp.up_proj.weight", "layers.0.mlp.gate_up_proj.scale",
        "layers.0.mlp.xgate_up_proj.weight", "mlp.gate_up_proj.weight", "weight"})
    EXPECT_FALSE(is_fused_projection(name)) << name;
}

TEST(FusedProjections, RowsThatAreNotThereAreToldFromTheOthers) {
  for (const Rows& known :
       {Rows{8, 4, 4}, Rows{8, 4, 0}, Rows{8, 0, 4}, Rows{0, 4, 4}, Rows{8, 0, 0}, Rows{0, 0, 4}}) {
    Rows rows = known;
    EXPECT_TRUE(complete_rows(attention(), 16, rows));
    EXPECT_EQ(rows, (Rows{8, 4, 4}));
  }
  for (const Rows& known : {Rows{6, 6, 0}, Rows{6, 0, 0}, Rows{0, 6, 0}, Rows{0, 0, 0}}) {
    Rows rows = known;
    EXPECT_TRUE(complete_rows(gate_up(), 12, rows));
    EXPECT_EQ(rows, (Rows{6, 6, 0}));
  }
}

TEST(FusedProjections, RowsThatDoNotMakeUpTheWholeAreRefused) {
  constexpr std::int64_t kMost = INT64_MAX;
  for (Rows rows : {Rows{9, 0, 0}, Rows{8, 4, 5}, Rows{8, 3, 5}, Rows{16, 0, 0}, Rows{0, 8, 0},
                    Rows{0, 8, 8}, Rows{20, 0, 0}, Rows{kMost, kMost, kMost}, Rows{-8, 0, 0}})
    EXPECT_FALSE(complete_rows(attention(), 16, rows)) << rows[0] << rows[1] << rows[2];
  for (Rows rows : {Rows{5, 7, 0}, Rows{7, 0, 0}, Rows{kMost, kMost, 0}})
    EXPECT_FALSE(complete_rows(gate_up(), 12, rows)) << rows[0] << rows[1];
}

}  // namespace
}  // namespace suture
