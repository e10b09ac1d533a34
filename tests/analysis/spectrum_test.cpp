#include "suture/spectrum.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/surgery.h"

#include "support/model_trio.h"
#include "support/thrown.h"

namespace suture {
namespace {

at::Tensor normal(std::vector<std::int64_t> shape, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator, at::TensorOptions(at::kFloat));
}

at::Tensor orthogonal(std::int64_t side, std::uint64_t seed) {
  return std::get<0>(at::linalg_qr(normal({side, side}, seed).to(at::kDouble)));
}

TaskVector vector_of(const at::Tensor& delta) {
  StateDict deltas;
  deltas.set("w", delta);
  return TaskVector::from(deltas);
}

// base + delta against base.
TaskVector moved(const at::Tensor& base, const at::Tensor& delta) {
  StateDict before, after;
  before.set("w", base);
  after.set("w", base + delta);
  return TaskVector::difference(after, before);
}

TensorSpectrum spectrum_of(const TaskVector& vector, const SpectrumOptions& options = {}) {
  return analyze_spectrum({{"v", vector, {}}}, options).tensors.at(0).vectors.at(0).value();
}

PairSpectrum pair_of(const at::Tensor& a, const at::Tensor& b,
                     const SpectrumOptions& options = {}) {
  return analyze_spectrum({{"a", vector_of(a), {}}, {"b", vector_of(b), {}}}, options)
      .tensors.at(0)
      .pairs.at(0)
      .value();
}

SpectrumOptions sketched(std::int64_t rank) {
  SpectrumOptions options;
  options.rank = rank;
  options.exact_side = 1;
  return options;
}

void expect_interval(const Interval& found, double value, double near) {
  EXPECT_LE(found.low, value + near);
  EXPECT_GE(found.high, value - near);
}

void expect_number(const Interval& found, double value, double near) {
  EXPECT_NEAR(found.low, value, near);
  EXPECT_NEAR(found.high, value, near);
}

TEST(Spectrum, OfOneDirectionHasRankOne) {
  const at::Tensor small = normal({60, 1}, 1).mm(normal({1, 40}, 2));
  const at::Tensor large = normal({600, 1}, 1).mm(normal({1, 500}, 2));
  for (const auto& [delta, options] :
       {std::pair(small, SpectrumOptions()), std::pair(large, sketched(8))}) {
    const TensorSpectrum found = spectrum_of(vector_of(delta), options);
    EXPECT_EQ(found.exact, delta.size(0) == 60);
    expect_number(found.stable_rank, 1, 1e-6);
    expect_interval(found.effective_rank, 1, 1e-4);
    EXPECT_LT(found.effective_rank.high, 1.01);
    EXPECT_NEAR(found.rank1_energy, 1, 1e-6);
    EXPECT_EQ(found.unchanged_bitwise, 0);
    EXPECT_FALSE(found.unchanged_relative || found.realisable || found.spectral_drift ||
                 found.changed_in_small_weights || found.changed_in_principal_weights);
  }
}

TEST(Spectrum, OfAnOrthogonalMatrixHasItsSideAsRank) {
  const TensorSpectrum small = spectrum_of(vector_of(orthogonal(50, 3)));
  expect_number(small.stable_rank, 50, 1e-9);
  expect_number(small.effective_rank, 50, 1e-9);
  EXPECT_NEAR(small.rank1_energy, 1.0 / 50, 1e-12);
  const TensorSpectrum large = spectrum_of(vector_of(orthogonal(400, 4)), sketched(8));
  expect_interval(large.stable_rank, 400, 1e-6);
  expect_interval(large.effective_rank, 400, 1e-6);
  EXPECT_GT(large.stable_rank.low, 300);
  EXPECT_GT(large.effective_rank.low, 300);
}

TEST(Spectrum, IntervalsHoldTheTruthOfWhatIsSketched) {
  const at::Tensor i = at::arange(0, 400, at::kDouble);
  const at::Tensor slow = 1 / (i + 1).sqrt(), fast = at::pow(0.9, i);
  for (const at::Tensor& values : {slow, fast, at::ones_like(i)}) {
    const at::Tensor delta =
        (orthogonal(400, 5) * values).mm(orthogonal(400, 6).t()).to(at::kFloat);
    const at::Tensor truth = at::linalg_svdvals(delta.to(at::kDouble));
    const at::Tensor shares = truth / truth.sum();
    const TensorSpectrum found = spectrum_of(vector_of(delta), sketched(8));
    ASSERT_FALSE(found.exact);
    const double squares = truth.square().sum().item<double>();
    expect_interval(found.stable_rank, squares / truth[0].square().item<double>(), 1e-6);
    expect_interval(found.effective_rank, std::exp(-(shares * shares.log()).sum().item<double>()),
                    1e-6);
    EXPECT_LE(found.effective_rank.high, 3 * found.effective_rank.low);
    for (std::size_t k = 0; k < 8; ++k) {
      const double value = truth[static_cast<std::int64_t>(k)].item<double>();
      EXPECT_LE(found.singular_values[k], value * (1 + 1e-12));
      EXPECT_GE(std::hypot(found.singular_values[k], found.error_bound), value * (1 - 1e-12));
    }
  }
}

TEST(Spectrum, OfNoiseLiesOnItsLine) {
  for (const auto& shape : {std::vector<std::int64_t>{600, 400}, {400, 900}}) {
    const TensorSpectrum found = spectrum_of(vector_of(normal(shape, 7)), sketched(8));
    EXPECT_NEAR(found.rank1_energy / found.rank1_energy_of_noise, 1, 0.05);
  }
  // The figures of the noise line itself.
  EXPECT_NEAR(spectrum_of(vector_of(at::ones({256, 36}))).rank1_energy_of_noise, 484.0 / 9216,
              1e-15);
}

TEST(Spectrum, OfZerosIsZero) {
  const TensorSpectrum found =
      spectrum_of(moved(normal({400, 380}, 1), at::zeros({400, 380})), sketched(4));
  expect_number(found.stable_rank, 0, 0);
  expect_number(found.effective_rank, 0, 0);
  EXPECT_EQ(found.rank1_energy, 0);
  EXPECT_EQ(found.unchanged_bitwise, 1);
  EXPECT_EQ(found.unchanged_relative, 1);
  EXPECT_EQ(found.realisable, 0);
  EXPECT_EQ(found.changed_in_small_weights, 0);
  EXPECT_EQ(found.spectral_drift, 0);  // NSS(W, W)
  EXPECT_EQ(pair_of(at::zeros({20, 30}), normal({20, 30}, 1)).k, 0);
}

TEST(Spectrum, DriftOfAScaledModelIsItsScale) {
  const at::Tensor small = normal({60, 50}, 1).to(at::kDouble);
  EXPECT_NEAR(*spectrum_of(moved(small, small * 0.25)).spectral_drift, 0.25, 1e-12);
  const at::Tensor large = normal({500, 400}, 1);
  EXPECT_NEAR(*spectrum_of(moved(large, large * 0.25), sketched(8)).spectral_drift, 0.25, 1e-5);
}

TEST(Spectrum, IndependentChangesLieAmongWeightsByChance) {
  const at::Tensor base = normal({400, 500}, 8);
  const at::Tensor kept = normal({400, 500}, 9) > 1;
  const TensorSpectrum found = spectrum_of(moved(base, normal({400, 500}, 10) * kept));
  EXPECT_NEAR(*found.changed_in_small_weights, 0.3, 0.01);
  EXPECT_NEAR(*found.changed_in_principal_weights, 0.3, 0.01);
}

TEST(Spectrum, ChangesOfPrincipalWeightsAreSeen) {
  // A base with one strong direction; what it makes large is changed.
  const at::Tensor strong = normal({400, 1}, 1).mm(normal({1, 380}, 2));
  const at::Tensor limit =
      std::get<0>(at::kthvalue(strong.abs().flatten(), 400 * 380 * 7 / 10 + 1000));
  const at::Tensor delta = (strong.abs() > limit).to(at::kFloat) * 0.5;
  const TensorSpectrum found =
      spectrum_of(moved(strong + 1e-3 * normal({400, 380}, 3), delta), sketched(1));
  EXPECT_GT(*found.changed_in_principal_weights, 0.99);
  EXPECT_LT(*found.changed_in_small_weights, 0.01);
}

TEST(Spectrum, SubspacesOfOneMatrixAndItsMultipleAreTheSame) {
  for (const auto& [shape, options] :
       {std::pair(std::vector<std::int64_t>{50, 70}, SpectrumOptions()),
        std::pair(std::vector<std::int64_t>{500, 400}, sketched(8))}) {
    const at::Tensor delta = normal(shape, 1);
    const PairSpectrum found = pair_of(delta, delta * -4, options);
    EXPECT_EQ(found.k, options.rank);
    for (const auto& cosines : {found.left_cosines, found.right_cosines}) {
      ASSERT_EQ(cosines.size(), static_cast<std::size_t>(options.rank));
      EXPECT_NEAR(*std::min_element(cosines.begin(), cosines.end()), 1, 1e-6);
    }
    EXPECT_NEAR(found.left_similarity, 1, 1e-6);
    EXPECT_NEAR(found.right_similarity, 1, 1e-6);
    EXPECT_EQ(found.sign_conflict, 1);
    EXPECT_EQ(found.changed_overlap, 1);
  }
}

TEST(Spectrum, IndependentSubspacesAreAlikeByChance) {
  const PairSpectrum found = pair_of(normal({600, 400}, 1), normal({600, 400}, 2), sketched(16));
  EXPECT_EQ(found.left_chance, 16.0 / 600);
  EXPECT_EQ(found.right_chance, 16.0 / 400);
  // Its standard deviation is about sqrt(2) / side.
  EXPECT_NEAR(found.left_similarity, found.left_chance, 5 * std::sqrt(2) / 600);
  EXPECT_NEAR(found.right_similarity, found.right_chance, 5 * std::sqrt(2) / 400);
}

TEST(Spectrum, AKnownAngleIsFound) {
  // Two planes that share one axis and are apart by 60 degrees on the other.
  at::Tensor a = at::zeros({40, 30}), b = at::zeros({40, 30});
  a[0][0] = b[0][0] = 2;
  a[1][1] = 1;
  b[1][1] = 0.5;
  b[2][1] = std::sqrt(0.75);
  const PairSpectrum found = pair_of(a, b);
  EXPECT_EQ(found.k, 2);  // what is zero has no direction
  EXPECT_NEAR(found.left_cosines[0], 1, 1e-7);
  EXPECT_NEAR(found.left_cosines[1], 0.5, 1e-7);
  EXPECT_NEAR(found.left_similarity, (1 + 0.25) / 2, 1e-7);
  EXPECT_NEAR(found.right_similarity, 1, 1e-7);
}

TEST(Spectrum, RefusesATensorThatHoldsNoNumbersAndNotTheRun) {
  at::Tensor odd = normal({20, 30}, 1);
  odd[0][0] = std::numeric_limits<float>::quiet_NaN();
  odd[1][1] = std::numeric_limits<float>::infinity();
  StateDict deltas;
  deltas.set("odd", odd);
  deltas.set("good", normal({20, 30}, 2));
  const TaskVector vector = TaskVector::from(deltas);
  const SpectrumReport found = analyze_spectrum({{"a", vector, {}}, {"b", vector, {}}});
  EXPECT_FALSE(found.tensors.at(0).vectors.at(0));
  EXPECT_FALSE(found.tensors.at(0).pairs.at(0));
  EXPECT_EQ(found.tensors.at(0).reasons.at(0), "2 entries are NaN or infinite");
  EXPECT_TRUE(found.tensors.at(1).vectors.at(0));
  EXPECT_EQ(found.tensors.at(1).reasons.at(0), "");
}

TEST(Spectrum, ABaseThatHoldsNoNumbersIsNone) {
  at::Tensor base = normal({20, 30}, 1);
  base[0][0] = std::numeric_limits<float>::infinity();
  StateDict before;
  before.set("w", base);
  const test::TempDir folder;
  const std::string path = (folder / "base.safetensors").string();
  save(before, path);
  const AnalyzedVector analyzed{"v", vector_of(normal({20, 30}, 2)), Checkpoint::open(path)};
  const TensorSpectrum found = analyze_spectrum({analyzed}).tensors.at(0).vectors.at(0).value();
  EXPECT_FALSE(found.realisable);
  EXPECT_FALSE(found.spectral_drift);
}

TEST(Spectrum, NamesWhatIsNoMatrix) {
  StateDict deltas;
  deltas.set("norm", normal({20}, 1));
  deltas.set("conv", normal({4, 3, 2}, 1));
  deltas.set("empty", at::zeros({0, 8}));
  deltas.set("w", normal({4, 3}, 1));
  const SpectrumReport found = analyze_spectrum({{"v", TaskVector::from(deltas), {}}});
  ASSERT_EQ(found.left_out.size(), 3u);
  EXPECT_EQ(found.left_out[0].reason, "1 dimension");
  EXPECT_EQ(found.left_out[1].name, "conv");
  EXPECT_EQ(found.left_out[1].reason, "3 dimensions");
  EXPECT_EQ(found.left_out[2].reason, "no entries");
  ASSERT_EQ(found.tensors.size(), 1u);
  EXPECT_EQ(found.tensors[0].vectors[0]->rank, 3);
  EXPECT_EQ(found.tensors[0].vectors[0]->singular_values.size(), 3u);
}

TEST(Spectrum, TensorsOfOneVectorOnlyHaveNoPair) {
  StateDict a, b;
  a.set("x", normal({4, 3}, 1));
  b.set("y", normal({4, 3}, 1));
  const SpectrumReport found =
      analyze_spectrum({{"a", TaskVector::from(a), {}}, {"b", TaskVector::from(b), {}}});
  ASSERT_EQ(found.tensors.size(), 2u);
  EXPECT_TRUE(found.tensors[0].vectors[0]);
  EXPECT_FALSE(found.tensors[0].vectors[1]);
  EXPECT_EQ(found.tensors[0].reasons[1], "");
  EXPECT_FALSE(found.tensors[0].pairs[0]);
}

TEST(Spectrum, RefusesWhatItCannotDo) {
  test::thrown_by<UsageError>([] { analyze_spectrum({}); });
  SpectrumOptions options;
  options.rank = 0;
  test::thrown_by<UsageError>([&] { spectrum_of(vector_of(normal({4, 3}, 1)), options); });
  test::thrown_by<CompatibilityError>([] { pair_of(normal({4, 3}, 1), normal({3, 4}, 1)); });
}

using SpectrumOfModels = test::ModelTrio;

TEST_F(SpectrumOfModels, AStoredVectorWithItsBaseIsTheDifference) {
  write_all();
  extract(open("tuned"), open("base"), path("v.safetensors"));
  const TaskVector stored = TaskVector::open(path("v.safetensors"));
  const SpectrumReport lazy = analyze_spectrum({{"v", open("tuned") - open("base"), {}}});
  const SpectrumReport given = analyze_spectrum({{"v", stored, open("base")}});
  const SpectrumReport alone = analyze_spectrum({{"v", stored, {}}});
  ASSERT_GT(lazy.tensors.size(), 5u);
  ASSERT_EQ(lazy.tensors.size(), given.tensors.size());
  // The vector's file has its tensors in another order.
  const auto named = [](const SpectrumReport& report, const std::string& name) {
    const auto at = std::find_if(report.tensors.begin(), report.tensors.end(),
                                 [&](const SpectrumRow& row) { return row.name == name; });
    return at->vectors.at(0).value();
  };
  for (const SpectrumRow& row : lazy.tensors) {
    const TensorSpectrum& a = *row.vectors[0];
    const TensorSpectrum b = named(given, row.name);
    EXPECT_NEAR(a.singular_values[0], b.singular_values[0], 1e-12 * a.singular_values[0]);
    EXPECT_EQ(a.unchanged_relative, b.unchanged_relative);
    EXPECT_EQ(a.realisable, b.realisable);
    EXPECT_NEAR(*a.spectral_drift, *b.spectral_drift, 1e-12);
    EXPECT_FALSE(named(alone, row.name).realisable);
  }
}

TEST_F(SpectrumOfModels, StopsWhenCancelledAndTellsProgress) {
  const std::atomic<bool> cancel = true;
  const TaskVector vector = TaskVector::difference(tuned_, base_);
  SpectrumOptions options;
  std::uint64_t done = 0, total = 1;
  options.run.on_progress = [&](const Progress& progress) {
    done = progress.bytes_done;
    total = progress.bytes_total;
  };
  analyze_spectrum({{"v", vector, {}}}, options);
  EXPECT_EQ(done, total);
  options.run.cancel = &cancel;
  EXPECT_THROW(analyze_spectrum({{"v", vector, {}}}, options), Interrupted);
}

TEST(Spectrum, IsNearlyTheSameForAnyThreads) {
  const at::Tensor base = normal({900, 700}, 1), delta = normal({900, 700}, 2) * 1e-3;
  const int before = at::get_num_threads();
  const TensorSpectrum expected = spectrum_of(moved(base, delta), sketched(16));
  for (const int threads : {1, 2, 5}) {
    at::set_num_threads(threads);
    const TensorSpectrum found = spectrum_of(moved(base, delta), sketched(16));
    for (std::size_t k = 0; k < 16; ++k)
      EXPECT_NEAR(found.singular_values[k], expected.singular_values[k],
                  1e-6 * expected.singular_values[0]);
    EXPECT_NEAR(*found.spectral_drift, *expected.spectral_drift, 1e-6);
    EXPECT_EQ(found.unchanged_relative, expected.unchanged_relative);
    EXPECT_EQ(found.realisable, expected.realisable);
    EXPECT_EQ(found.changed_in_small_weights, expected.changed_in_small_weights);
  }
  at::set_num_threads(before);
}

}  // namespace
}  // namespace suture
