#include "names/token_matrices.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace suture {
namespace {

std::vector<TensorInfo> matrices(const std::vector<std::string>& names) {
  std::vector<TensorInfo> tensors(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    tensors[i].name = names[i];
    tensors[i].shape = {4, 2};
  }
  return tensors;
}

std::string name_of(const TensorInfo* tensor) { return tensor == nullptr ? "" : tensor->name; }

TEST(TokenMatrices, AnEmbeddingIsOfTokens) {
  EXPECT_EQ(name_of(token_embedding_of(
                matrices({"transformer.wpe.weight", "transformer.wte.weight", "lm_head.weight"}))),
            "transformer.wte.weight");
  EXPECT_EQ(
      name_of(token_embedding_of(matrices({"a.embed_tokens.weight", "b.embed_tokens.weight"}))),
      "");
  auto row = matrices({"model.embed_tokens.weight"});
  row[0].shape = {8};
  EXPECT_EQ(token_embedding_of(row), nullptr);
}

TEST(TokenMatrices, AHeadIsOfALanguageModel) {
  EXPECT_EQ(name_of(language_head_of(
                matrices({"lm_head.bias", "score.weight", "language_model.lm_head.weight"}))),
            "language_model.lm_head.weight");
  EXPECT_TRUE(is_language_head("embed_out.weight"));
  for (const char* name : {"score.weight", "lm_head.bias", "xlm_head.weight", "lm_head", ""})
    EXPECT_FALSE(is_language_head(name)) << name;
}

}  // namespace
}  // namespace suture
