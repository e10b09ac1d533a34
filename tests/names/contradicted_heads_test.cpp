#include "names/contradicted_heads.h"

#include <string>

#include <gtest/gtest.h>

#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;

constexpr const char* kFused = "layers.0.self_attn.qkv_proj.weight";

std::string part(const char* letter) {
  return std::string("layers.0.self_attn.") + letter + "_proj.weight";
}

// Eight rows of queries, four of keys and of values.
NameMapping joins() {
  NameMapping mapping;
  mapping.tensors.push_back({kFused, {{part("q"), 0, 8}, {part("k"), 0, 4}, {part("v"), 0, 4}}});
  return mapping;
}

NameMapping cuts() {
  NameMapping mapping;
  mapping.tensors.push_back({part("q"), {{kFused, 0, 8}}});
  mapping.tensors.push_back({part("k"), {{kFused, 8, 4}}});
  mapping.tensors.push_back({part("v"), {{kFused, 12, 4}}});
  return mapping;
}

TEST(ContradictedHeads, RowsMustBeThoseOfTheHeads) {
  for (const NameMapping& mapping : {cuts(), joins()}) {
    EXPECT_EQ(contradicted_heads(mapping, {}), "");
    EXPECT_EQ(
        contradicted_heads(mapping, {{"num_attention_heads", "4"}, {"num_key_value_heads", "2"}}),
        "");
    EXPECT_TRUE(
        holds(contradicted_heads(mapping, {{"num_attention_heads", "4"}}), "8, 4 and 4 rows"));
    EXPECT_EQ(contradicted_heads(mapping, {{"num_attention_heads", "many"}}), "");
    EXPECT_FALSE(
        contradicted_heads(mapping, {{"num_attention_heads", "3"}, {"num_key_value_heads", "2"}})
            .empty());
    EXPECT_TRUE(holds(contradicted_heads(mapping, {{"num_attention_heads", "4"},
                                                   {"num_key_value_heads", "2"},
                                                   {"head_dim", "4"}}),
                      "of 4"));
  }
}

}  // namespace
}  // namespace suture
