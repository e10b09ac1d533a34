#include "model/sampler.h"

#include <cmath>
#include <map>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"

namespace suture::model {
namespace {

const at::Tensor& logits() {
  static const at::Tensor scores = at::tensor({0.0f, 2.0f, 1.0f, -1.0f, 2.0f});
  return scores;
}

std::map<std::int64_t, int> draw_many(const Sampling& sampling, int count) {
  Sampler sampler(sampling);
  std::map<std::int64_t, int> drawn;
  for (int i = 0; i < count; ++i) ++drawn[sampler.draw(logits())];
  return drawn;
}

TEST(Sampler, DrawsAsOftenAsProbabilitiesSay) {
  constexpr int kDraws = 20'000;
  for (const double temperature : {0.5, 1.0, 3.0}) {
    Sampling sampling;
    sampling.temperature = temperature;
    auto drawn = draw_many(sampling, kDraws);
    const at::Tensor wanted = (logits() / temperature).softmax(0);
    for (std::int64_t token = 0; token < 5; ++token) {
      const double share = wanted[token].item<double>();
      const double deviation = std::sqrt(share * (1 - share) / kDraws);
      EXPECT_NEAR(drawn[token] / double{kDraws}, share, 5 * deviation) << token;
    }
  }
}

TEST(Sampler, KeepsTheLikeliest) {
  Sampling sampling;
  sampling.temperature = 5;
  sampling.top_k = 1;
  EXPECT_EQ(draw_many(sampling, 200),
            (std::map<std::int64_t, int>{{1, 200}}));  // the first of equals
  sampling.top_k = 3;
  const auto drawn = draw_many(sampling, 2000);
  EXPECT_EQ(drawn.size(), 3u);
  EXPECT_EQ(drawn.count(0) + drawn.count(3), 0u);
}

TEST(Sampler, KeepsTheFewestThatHoldTheProbability) {
  Sampling sampling;
  sampling.temperature = 1;  // probabilities .05, .38, .14, .02, .38
  sampling.top_p = 0.38;
  EXPECT_EQ(draw_many(sampling, 500).size(), 1u);
  sampling.top_p = 0.5;
  EXPECT_EQ(draw_many(sampling, 500).size(), 2u);
  sampling.top_p = 0.85;
  EXPECT_EQ(draw_many(sampling, 2000).size(), 3u);
}

TEST(Sampler, RefusesWhatMeansNothing) {
  Sampling hot;
  hot.temperature = INFINITY;
  EXPECT_THROW(Sampler{hot}, UsageError);
  Sampling cold;
  cold.temperature = -1;
  EXPECT_THROW(Sampler{cold}, UsageError);
  Sampling nobody;
  nobody.top_p = 0;
  EXPECT_THROW(Sampler{nobody}, UsageError);
  Sampling fewer;
  fewer.top_k = -2;
  EXPECT_THROW(Sampler{fewer}, UsageError);
}

}  // namespace
}  // namespace suture::model
