#include "suture/analysis.h"

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/site.h"
#include "suture/surgery.h"

#include "support/model_trio.h"
#include "support/thrown.h"

namespace suture {
namespace {

class Analyze : public test::ModelTrio {
 protected:
  TaskVector skill() { return TaskVector::difference(tuned_, base_); }
  TaskVector style() { return TaskVector::difference(target_, base_); }
  at::Tensor delta(const StateDict& weights, const std::string& name) {
    return (weights.at(name).to(at::kFloat) - base_.at(name).to(at::kFloat))
        .to(at::kDouble)
        .flatten();
  }

  // All differences of the tensors that `is_part` takes, as one array.
  template <class Predicate>
  at::Tensor gathered(const StateDict& weights, Predicate is_part) {
    std::vector<at::Tensor> parts;
    for (const auto& [name, tensor] : base_)
      if (is_part(name)) parts.push_back(delta(weights, name));
    return at::cat(parts);
  }
};

std::vector<std::string> names_of(const std::vector<AnalysisRow>& rows) {
  std::vector<std::string> names;
  for (const AnalysisRow& row : rows) names.push_back(row.name);
  return names;
}

void expect_values(const VectorStatistics& found, const at::Tensor& values) {
  const double norm = values.norm().item<double>();
  EXPECT_EQ(found.elements, static_cast<std::uint64_t>(values.numel()));
  EXPECT_EQ(found.changed,
            static_cast<std::uint64_t>(at::count_nonzero(values).item<std::int64_t>()));
  EXPECT_NEAR(found.norm, norm, 1e-12 * norm);
  EXPECT_NEAR(found.rms, norm / std::sqrt(static_cast<double>(values.numel())), 1e-12 * norm);
  EXPECT_EQ(found.max, values.abs().max().item<double>());
  EXPECT_EQ(found.non_finite, 0u);
  std::map<int, std::uint64_t> bins;
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const double value = values[i].item<double>();
    if (value != 0) ++bins[std::ilogb(value)];
  }
  for (std::size_t i = 0; i < found.histogram.counts.size(); ++i) {
    EXPECT_EQ(found.histogram.counts[i],
              bins[found.histogram.first_exponent + static_cast<int>(i)]);
  }
}

void expect_pair(const PairStatistics& found, const at::Tensor& a, const at::Tensor& b) {
  const double norms = (a.norm() * b.norm()).item<double>();
  EXPECT_NEAR(found.cosine, norms > 0 ? a.dot(b).item<double>() / norms : 0, 1e-12);
  const at::Tensor both = (a != 0).logical_and(b != 0);
  const auto count = [&](const at::Tensor& mask) {
    return static_cast<double>(mask.logical_and(both).sum().item<std::int64_t>());
  };
  const double total = count(both);
  EXPECT_EQ(found.both_changed, static_cast<std::uint64_t>(total));
  if (total == 0) return;
  EXPECT_DOUBLE_EQ(found.sign_agreement, count((a > 0) == (b > 0)) / total);
  const double a_up = count(a > 0) / total, b_up = count(b > 0) / total;
  EXPECT_NEAR(found.sign_agreement_by_chance, a_up * b_up + (1 - a_up) * (1 - b_up), 1e-12);
}

TEST_F(Analyze, EqualsTorchOnEveryLevel) {
  const Analysis found = analyze({{"skill", skill(), {}}, {"style", style(), {}}});
  EXPECT_EQ(found.vectors, (std::vector<std::string>{"skill", "style"}));
  const auto expect = [&](const AnalysisRow& row, auto is_part) {
    SCOPED_TRACE(row.name);
    const at::Tensor a = gathered(tuned_, is_part), b = gathered(target_, is_part);
    expect_values(row.vectors.at(0), a);
    expect_values(row.vectors.at(1), b);
    expect_pair(row.pairs.at(0), a, b);
  };
  expect(found.total, [](const std::string&) { return true; });
  for (const AnalysisRow& row : found.layers) {
    expect(row, [&](const std::string& name) {
      const auto layer = site_of(name).layer;
      return (layer ? std::to_string(*layer) : "outside") == row.name;
    });
  }
  for (const AnalysisRow& row : found.blocks)
    expect(row, [&](const std::string& name) { return name_of(site_of(name).block) == row.name; });
  for (const AnalysisRow& row : found.modules)
    expect(row, [&](const std::string& name) { return site_of(name).module == row.name; });
  for (const AnalysisRow& row : found.tensors)
    expect(row, [&](const std::string& name) { return name == row.name; });
}

TEST_F(Analyze, RowsStandInTheirOrder) {
  test::TinyModel deep;
  deep.layers = 11;
  make(deep);
  const Analysis found = analyze({{"skill", skill(), {}}});
  std::vector<std::string> layers;
  for (int i = 0; i < 11; ++i) layers.push_back(std::to_string(i));
  layers.push_back("outside");
  EXPECT_EQ(names_of(found.layers), layers);
  EXPECT_EQ(names_of(found.tensors), skill().names());
  EXPECT_EQ(names_of(found.modules).front(), "embed_tokens");
  EXPECT_EQ(found.total.name, "total");
  EXPECT_TRUE(found.pairs.empty());
}

TEST_F(Analyze, PairsAreEveryTwoVectorsInOrder) {
  const Analysis found = analyze({{"a", skill(), {}}, {"b", style(), {}}, {"c", -skill(), {}}});
  EXPECT_EQ(found.pairs,
            (std::vector<std::pair<std::size_t, std::size_t>>{{0, 1}, {0, 2}, {1, 2}}));
  EXPECT_NEAR(found.total.pairs.at(1).cosine, -1, 1e-15);
  EXPECT_EQ(found.total.pairs.at(1).sign_agreement, 0);
  EXPECT_NEAR(found.total.pairs.at(0).cosine, -found.total.pairs.at(2).cosine, 1e-15);
}

TEST_F(Analyze, NormsAreRelativeToTheBaseOfTheDifference) {
  const Analysis found = analyze({{"skill", skill(), {}}});
  double squares = 0;
  for (const auto& [name, tensor] : base_)
    squares += tensor.to(at::kDouble).square().sum().item<double>();
  ASSERT_TRUE(found.total.vectors[0].base_norm);
  EXPECT_NEAR(*found.total.vectors[0].base_norm, std::sqrt(squares), 1e-11);
  EXPECT_NEAR(*found.total.vectors[0].relative_norm,
              found.total.vectors[0].norm / std::sqrt(squares), 1e-14);
}

TEST_F(Analyze, AStoredVectorHasTheSameRelativeNorms) {
  write_all();
  extract(open("tuned"), open("base"), path("v.safetensors"));
  const TaskVector stored = TaskVector::open(path("v.safetensors"));
  const Analysis lazy = analyze({{"v", open("tuned") - open("base"), {}}});
  const Analysis read = analyze({{"v", stored, {}}});
  const Analysis given = analyze({{"v", stored, open("base")}});
  for (const AnalysisRow& row : lazy.layers) {
    const auto same = [&](const Analysis& other) {
      for (const AnalysisRow& o : other.layers)
        if (o.name == row.name) return o.vectors[0].relative_norm.value_or(-1);
      return -1.0;
    };
    EXPECT_NEAR(same(read), *row.vectors[0].relative_norm, 1e-14);
    EXPECT_NEAR(same(given), *row.vectors[0].relative_norm, 1e-14);
  }
}

TEST_F(Analyze, WithoutABaseThereIsNoRelativeNorm) {
  const Analysis found = analyze({{"v", TaskVector::from(base_), {}}});
  EXPECT_FALSE(found.total.vectors[0].base_norm);
  EXPECT_FALSE(found.total.vectors[0].relative_norm);
}

TEST_F(Analyze, OfAZeroVectorIsZero) {
  const Analysis found =
      analyze({{"zero", TaskVector::difference(base_, base_), {}}, {"skill", skill(), {}}});
  EXPECT_EQ(found.total.vectors[0].norm, 0);
  EXPECT_EQ(found.total.vectors[0].changed_share(), 0);
  EXPECT_EQ(*found.total.vectors[0].relative_norm, 0);
  EXPECT_EQ(found.total.pairs[0].cosine, 0);
  EXPECT_EQ(found.total.pairs[0].both_changed, 0u);
}

TEST_F(Analyze, CountsNonFiniteValuesAndLeavesThemOut) {
  StateDict deltas;
  deltas.set("w", at::tensor({3.0, std::numeric_limits<double>::quiet_NaN(), 4.0,
                              std::numeric_limits<double>::infinity()},
                             at::kFloat));
  const VectorStatistics found = analyze({{"v", TaskVector::from(deltas), {}}}).total.vectors[0];
  EXPECT_EQ(found.non_finite, 2u);
  EXPECT_EQ(found.norm, 5);
  EXPECT_EQ(found.max, 4);
  EXPECT_EQ(found.changed, 2u);
  EXPECT_EQ(found.elements, 4u);
}

TEST_F(Analyze, TensorsOfOneVectorOnlyCountForThatOne) {
  const Analysis found =
      analyze({{"early", skill().only("layer=0"), {}}, {"late", skill().only("layer=2"), {}}});
  EXPECT_EQ(names_of(found.layers), (std::vector<std::string>{"0", "2"}));
  EXPECT_EQ(found.layers[0].vectors[1].elements, 0u);
  EXPECT_EQ(found.layers[1].vectors[0].norm, 0);
  EXPECT_EQ(found.total.pairs[0].both_changed, 0u);
}

TEST_F(Analyze, NeedsAVectorAndATensor) {
  test::thrown_by<UsageError>([] { analyze({}); });
  test::thrown_by<UsageError>([&] { analyze({{"v", skill().only(!Selection()), {}}}); });
}

TEST_F(Analyze, RefusesOtherShapesUnderOneName) {
  StateDict a, b;
  a.set("w", at::ones({2}));
  b.set("w", at::ones({3}));
  test::thrown_by<CompatibilityError>([&] {
    analyze({{"a", TaskVector::from(a), {}}, {"b", TaskVector::from(b), {}}});
  });
}

TEST_F(Analyze, IsTheSameForAnyThreadsMemoryAndSharding) {
  test::TinyModel model;
  model.hidden = 64;
  model.vocab = 4000;
  make(model);
  write_all();
  test::write_model(dir_ / "split", model_, tuned_, 100'000);
  const auto vectors = [&](const char* tuned) {
    return std::vector<AnalyzedVector>{{"a", open(tuned) - open("base"), {}},
                                       {"b", open("target") - open("base"), {}}};
  };
  const auto expect_same = [](const Analysis& a, const Analysis& b) {
    ASSERT_EQ(a.tensors.size(), b.tensors.size());
    for (std::size_t v = 0; v < 2; ++v) {
      EXPECT_EQ(a.total.vectors[v].norm, b.total.vectors[v].norm);
      EXPECT_EQ(a.total.vectors[v].base_norm, b.total.vectors[v].base_norm);
      EXPECT_EQ(a.total.vectors[v].histogram.counts, b.total.vectors[v].histogram.counts);
    }
    for (std::size_t i = 0; i < a.tensors.size(); ++i) {
      EXPECT_EQ(a.tensors[i].name, b.tensors[i].name);
      EXPECT_EQ(a.tensors[i].pairs[0].cosine, b.tensors[i].pairs[0].cosine);
    }
  };
  RunOptions options;
  options.threads = 1;
  const Analysis expected = analyze(vectors("tuned"), options);
  for (const unsigned threads : {1u, 2u, 7u}) {
    for (const std::uint64_t budget : {1ull << 20, 8ull << 20, 512ull << 20}) {
      options.threads = threads;
      options.memory_budget_bytes = budget;
      expect_same(analyze(vectors("tuned"), options), expected);
    }
  }
  // Another sharding gives the tensors in another order, but each the same numbers.
  const Analysis split = analyze(vectors("split"), options);
  std::map<std::string, double> norms;
  for (const AnalysisRow& row : expected.tensors) norms[row.name] = row.vectors[0].norm;
  for (const AnalysisRow& row : split.tensors)
    EXPECT_EQ(row.vectors[0].norm, norms.at(row.name)) << row.name;
  for (std::size_t i = 0; i < split.layers.size(); ++i)
    EXPECT_EQ(split.layers[i].vectors[0].norm, expected.layers[i].vectors[0].norm);
  EXPECT_EQ(split.total.vectors[0].norm, expected.total.vectors[0].norm);
  EXPECT_EQ(split.total.pairs[0].cosine, expected.total.pairs[0].cosine);
}

TEST_F(Analyze, StopsWhenCancelled) {
  const std::atomic<bool> cancel = true;
  RunOptions options;
  options.cancel = &cancel;
  EXPECT_THROW(analyze({{"skill", skill(), {}}}, options), Interrupted);
}

}  // namespace
}  // namespace suture
