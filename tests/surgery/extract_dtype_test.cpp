// Which dtype each tensor of a vector gets, and in how many passes.

#include <cmath>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/surgery.h"

#include "support/extract.h"
#include "support/tensor_bytes.h"

namespace suture {
namespace {

using test::Extract;
using test::read_file;
using test::same_bits;

TEST_F(Extract, WidensWhereFloat32WouldLoseBits) {
  // 1 - 2^-30 needs 30 bits; float32 rounds it to 1, and 1 + (2^-30 - 1) is then 0.
  make_one_tensor(at::kBFloat16, {0x1p-30, 0.5, 3}, {1, 0.25, 2});
  const ExtractReport report = run_on_one_tensor();
  EXPECT_EQ(report.widened_tensors, 1u);
  EXPECT_EQ(report.inexact_elements, 0u);
  EXPECT_EQ(load(path("v.safetensors")).at("w").scalar_type(), at::kDouble);
  EXPECT_TRUE(same_bits(base_plus_vector(), load(path("tuned.safetensors"))));
}

TEST_F(Extract, DoesNotWidenWhereFloat32IsExact) {
  make_one_tensor(at::kBFloat16, {0.5, 3, 0x1p-10}, {0.25, 2, 1});
  const ExtractReport report = run_on_one_tensor();
  EXPECT_EQ(report.widened_tensors, 0u);
  EXPECT_EQ(load(path("v.safetensors")).at("w").scalar_type(), at::kHalf);  // 2^-10 - 1
}

TEST_F(Extract, DoesNotWidenWhereItWouldNotHelpAndSaysSo) {
  // Not even float64 holds 2^-100 - 1.
  make_one_tensor(at::kBFloat16, {0x1p-100}, {1});
  const ExtractReport report = run_on_one_tensor();
  EXPECT_EQ(report.widened_tensors, 0u);
  EXPECT_EQ(report.inexact_elements, 1u);
}

TEST_F(Extract, BasePlusVectorGivesTunedForRandomBits) {
  std::mt19937_64 random(3);
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf, at::kFloat}) {
    // Any sign and mantissa, exponents within 2^12 of each other.
    std::vector<double> tuned, base;
    for (int i = 0; i < 70'000; ++i) {
      for (std::vector<double>* values : {&tuned, &base}) {
        const double mantissa = 1 + static_cast<double>(random() % (1 << 23)) / (1 << 23);
        values->push_back((random() % 2 ? 1 : -1) *
                          std::ldexp(mantissa, -static_cast<int>(random() % 12)));
      }
    }
    make_one_tensor(type, tuned, base);
    const ExtractReport report = run_on_one_tensor();
    EXPECT_EQ(report.inexact_elements, 0u) << type;
    EXPECT_TRUE(same_bits(base_plus_vector(), load(path("tuned.safetensors")))) << type;
  }
}

TEST_F(Extract, CountsExactlyTheElementsThatDoNotComeBack) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf, at::kFloat}) {
    std::mt19937_64 random(4);
    std::vector<double> tuned, base;
    for (int i = 0; i < 5000; ++i) {
      for (std::vector<double>* values : {&tuned, &base})
        values->push_back(std::ldexp(1 + static_cast<double>(random() % 1024) / 1024,
                                     -static_cast<int>(random() % 120)));
    }
    for (const double odd : {0.0, -0.0, std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN(), 1.0}) {
      for (const double beside : {0.0, -0.0, -std::numeric_limits<double>::infinity(), 2.0}) {
        tuned.push_back(odd);
        base.push_back(beside);
      }
    }
    make_one_tensor(type, tuned, base);
    const ExtractReport report = run_on_one_tensor();
    const at::Tensor sum = base_plus_vector().at("w"),
                     wanted = load(path("tuned.safetensors")).at("w");
    const at::ScalarType bits = type == at::kFloat ? at::kInt : at::kShort;
    const auto differing = at::count_nonzero(sum.view(bits) != wanted.view(bits));
    EXPECT_EQ(report.inexact_elements, static_cast<std::uint64_t>(differing.item<std::int64_t>()))
        << type;
  }
}

TEST_F(Extract, AFixedDtypeIsKeptAndItsLossTold) {
  make_one_tensor(at::kFloat, {1.001, 1.5}, {1, 1});
  ExtractOptions options;
  options.dtype = Dtype::kBF16;
  const ExtractReport report = run_on_one_tensor(options);
  EXPECT_EQ(load(path("v.safetensors")).at("w").scalar_type(), at::kBFloat16);
  EXPECT_EQ(report.inexact_elements, 1u);
  EXPECT_EQ(report.widened_tensors, 0u);
  options.dtype = Dtype::kF64;
  EXPECT_EQ(run_on_one_tensor(options).inexact_elements, 0u);
  EXPECT_EQ(load(path("v.safetensors")).at("w").scalar_type(), at::kDouble);
}

TEST_F(Extract, Float64DonorsGiveAFloat64Vector) {
  make_one_tensor(at::kDouble, {1.0 / 3, 2}, {0.1, 1});
  run_on_one_tensor();
  const at::Tensor vector = load(path("v.safetensors")).at("w");
  EXPECT_EQ(vector[0].item<double>(), 1.0 / 3 - 0.1);
}

// The first of bf16, f16 and f32 that torch takes a float32 difference to and back without loss.
// NaN is left out: torch has one NaN of 16 bits where arithmetic knows two signs.
at::ScalarType narrowest(const at::Tensor& with_nan) {
  const at::Tensor difference = at::where(with_nan.isnan(), at::zeros({}), with_nan);
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf})
    if (same_bits(difference.to(type).to(at::kFloat), difference)) return type;
  return at::kFloat;
}

TEST_F(Extract, StoresTheNarrowestDtypeThatIsExact) {
  std::mt19937_64 random(6);
  std::set<at::ScalarType> seen;
  for (int round = 0; round < 60; ++round) {
    const at::ScalarType type =
        std::vector{at::kBFloat16, at::kHalf, at::kFloat, at::kDouble}[random() % 4];
    const int bits = 1 + static_cast<int>(random() % 12), low = static_cast<int>(random() % 40);
    std::vector<double> tuned, base;
    for (int i = 0; i < 300; ++i) {
      base.push_back(random() % 3 == 0 ? -0.0 : std::ldexp(1, -static_cast<int>(random() % 3)));
      const double step = std::ldexp(static_cast<double>(random() % (1u << bits)), -low);
      tuned.push_back(random() % 2 ? base.back() + step : base.back());
    }
    if (round % 7 == 0) tuned[5] = std::numeric_limits<double>::infinity();
    if (round % 11 == 0) tuned[6] = std::numeric_limits<double>::quiet_NaN();
    make_one_tensor(type, tuned, base);
    const ExtractReport report = run_on_one_tensor();
    const at::Tensor vector = load(path("v.safetensors")).at("w");
    const at::Tensor a = load(path("tuned.safetensors")).at("w"),
                     b = load(path("base.safetensors")).at("w");
    const bool widened = type == at::kDouble || report.widened_tensors > 0;
    const at::Tensor difference =
        widened ? a.to(at::kDouble) - b.to(at::kDouble) : a.to(at::kFloat) - b.to(at::kFloat);
    EXPECT_EQ(vector.scalar_type(), widened ? at::kDouble : narrowest(difference)) << type;
    EXPECT_TRUE(same_bits(vector.to(difference.scalar_type()), difference)) << type;
    EXPECT_EQ(report.dtypes.size(), 1u);
    seen.insert(vector.scalar_type());
  }
  EXPECT_EQ(seen.size(), 4u);
}

TEST_F(Extract, KeepsWhatIsNotFinite) {
  const double infinity = std::numeric_limits<double>::infinity(),
               nan = std::numeric_limits<double>::quiet_NaN();
  make_one_tensor(at::kBFloat16, {infinity, -infinity, nan, infinity, 1, -0.0},
                  {1, 1, 1, infinity, nan, 0.0});
  run_on_one_tensor();
  const at::Tensor vector = load(path("v.safetensors")).at("w");
  EXPECT_EQ(vector.scalar_type(), at::kBFloat16);
  const at::Tensor difference = load(path("tuned.safetensors")).at("w").to(at::kFloat) -
                                load(path("base.safetensors")).at("w").to(at::kFloat);
  EXPECT_TRUE(same_bits(vector.to(at::kFloat), difference));
}

// A large tensor of zero differences, but for one at a place that no sample is sure to hit.
class LargeTensor : public Extract {
 protected:
  static constexpr std::int64_t kElements = 1'000'000;
  void make_large(std::int64_t odd_at, float odd) {
    at::Tensor base = at::ones({kElements}, at::kBFloat16);
    at::Tensor tuned = base.clone();
    tuned.slice(0, 5000, 5100) += 0.25;
    tuned[odd_at] = odd;
    StateDict a, b;
    a.set("w", tuned);
    a.set("small", at::ones({3}, at::kBFloat16));
    b.set("w", base);
    b.set("small", at::zeros({3}, at::kBFloat16));
    SaveOptions options;
    options.replace_existing = true;
    save(a, path("tuned.safetensors"), options);
    save(b, path("base.safetensors"), options);
  }
};

TEST_F(LargeTensor, IsWrittenInOnePassWhenTheSampleTellsItsDtype) {
  make_large(7, 1.5);
  const ExtractReport report = run_on_one_tensor();
  EXPECT_EQ(report.bytes_read, 2u * 2 * (kElements + 3));
  EXPECT_EQ(load(path("v.safetensors")).at("w").scalar_type(), at::kBFloat16);
}

TEST_F(LargeTensor, IsWrittenInTwoWhenTheSampleMisleads) {
  // Between the pieces of the sample, one difference that needs f16, f32 or f64.
  for (const auto& [odd, type] : {std::pair{0x1p-10f, at::kHalf}, std::pair{0x1p-20f, at::kFloat},
                                  std::pair{0x1p-30f, at::kDouble}}) {
    make_large(kElements - 5000, odd);
    const ExtractReport report = run_on_one_tensor();
    EXPECT_EQ(report.bytes_read, 2u * 2 * 2 * (kElements + 3));
    EXPECT_EQ(report.inexact_elements, 0u);
    const StateDict vector = load(path("v.safetensors"));
    EXPECT_EQ(vector.at("w").scalar_type(), type);
    EXPECT_EQ(vector.at("small").scalar_type(), at::kBFloat16);
    EXPECT_TRUE(same_bits(base_plus_vector(), load(path("tuned.safetensors"))));
    EXPECT_EQ(test::entries_of(dir_.path()).size(), 4u);
  }
}

TEST_F(LargeTensor, HasTheSameBytesForAnyThreadsAndMemoryWhenTheSampleMisleads) {
  make_large(kElements - 5000, 0x1p-20f);
  run_on_one_tensor();
  const std::string expected = read_file(dir_ / "v.safetensors");
  for (const unsigned threads : {1u, 2u, 7u}) {
    for (const std::uint64_t budget : {1ull << 20, 8ull << 20, 512ull << 20}) {
      ExtractOptions options;
      options.run.threads = threads;
      options.run.memory_budget_bytes = budget;
      run_on_one_tensor(options);
      EXPECT_TRUE(read_file(dir_ / "v.safetensors") == expected) << threads << " " << budget;
    }
  }
}

TEST_F(LargeTensor, HasAHeaderWhoseSizeDoesNotTellTheNumberOfPasses) {
  std::set<std::string> lengths;
  for (const std::int64_t odd_at : {std::int64_t{7}, kElements - 5000}) {
    make_large(odd_at, 0x1p-20f);
    run_on_one_tensor();
    lengths.insert(read_file(dir_ / "v.safetensors").substr(0, 8));
  }
  EXPECT_EQ(lengths.size(), 1u);
}

}  // namespace
}  // namespace suture
