#include "kernels/cuda/statistics.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/batch.h"
#include "support/cuda_machine.h"

// The kernels of the statistics against those of the CPU: every count, and every bit of every sum.
namespace suture::kernels {
namespace {

using test::kComputableDtypes;
using test::strewn_bytes;

template <typename T>
std::vector<T> sum_on_cpu(std::span<const TermTile> terms, std::size_t count) {
  std::vector<T> values(count);
  if (count > 0) sum_of_terms(terms, values.data(), count);
  return values;
}

// Tile by tile, as a streaming pass does.
template <typename T>
ValueStatistics values_on_cpu(std::span<const TermTile> terms, std::size_t count) {
  const auto values = sum_on_cpu<T>(terms, count);
  ValueStatistics result;
  for (std::size_t i = 0; i < count; i += kStatisticsTile)
    result.append(kernels::measure_values(values.data() + i, std::min(kStatisticsTile, count - i)));
  return result;
}

template <typename T>
PairStatistics pairs_on_cpu(std::span<const TermTile> first, std::span<const TermTile> second,
                            std::size_t count) {
  const auto a = sum_on_cpu<T>(first, count), b = sum_on_cpu<T>(second, count);
  PairStatistics result;
  for (std::size_t i = 0; i < count; i += kStatisticsTile)
    result.append(
        kernels::measure_pair(a.data() + i, b.data() + i, std::min(kStatisticsTile, count - i)));
  return result;
}

void expect_equal(const ValueStatistics& found, const ValueStatistics& expected) {
  EXPECT_EQ(found.count, expected.count);
  EXPECT_EQ(found.non_zero, expected.non_zero);
  EXPECT_EQ(found.non_finite, expected.non_finite);
  EXPECT_EQ(found.sum_of_squares, expected.sum_of_squares);
  EXPECT_EQ(found.max_magnitude, expected.max_magnitude);
  EXPECT_EQ(found.histogram, expected.histogram);
}

void expect_equal(const PairStatistics& found, const PairStatistics& expected) {
  // Infinite products of both signs add up to NaN.
  EXPECT_TRUE(found.dot == expected.dot || (std::isnan(found.dot) && std::isnan(expected.dot)))
      << found.dot << ", not " << expected.dot;
  EXPECT_EQ(found.both_non_zero, expected.both_non_zero);
  EXPECT_EQ(found.same_sign, expected.same_sign);
  EXPECT_EQ(found.first_positive, expected.first_positive);
  EXPECT_EQ(found.second_positive, expected.second_positive);
}

class CudaStatistics : public test::OnMachine {
 protected:
  // Two operands, for the CPU and in the machine's memory, and the term of their difference.
  struct Difference {
    std::string host[2];
    std::vector<Memory> memory;
    TermTile host_term, placed_term;
    std::size_t count;
    bool is_double() const {
      return host_term.minuend.dtype == Dtype::kF64 || host_term.subtrahend.dtype == Dtype::kF64;
    }
  };

  Difference make(Dtype a, Dtype b, std::size_t count, double scale) {
    Difference made;
    made.count = count;
    made.host[0] = strewn_bytes(a, count, ++seed_);
    made.host[1] = strewn_bytes(b, count, ++seed_);
    made.memory = {place(made.host[0], static_cast<std::size_t>(bytes_of(a))), place(made.host[1])};
    made.host_term = {{nullptr, a}, {nullptr, b}, scale};
    made.placed_term = {{made.memory[0].data(), a}, {made.memory[1].data(), b}, scale};
    return made;
  }

  // Addresses inside a small string move with it.
  static TermTile host_term(const Difference& made) {
    TermTile term = made.host_term;
    term.minuend.data = made.host[0].data();
    term.subtrahend.data = made.host[1].data();
    return term;
  }

  std::vector<Difference> make_many(const std::vector<std::size_t>& counts) {
    std::vector<Difference> all;
    for (const std::size_t count : counts) {
      for (const Dtype dtype : kComputableDtypes) all.push_back(make(dtype, dtype, count, 0.7));
      all.push_back(make(Dtype::kBF16, Dtype::kF32, count, 1));
      all.push_back(make(Dtype::kF64, Dtype::kF16, count, -3));
    }
    return all;
  }

 private:
  std::uint64_t seed_ = 100;
};

const std::vector<std::size_t> kCounts{1, 15, 16, 17, 127, 128, 129, 65535, 65536, 65537, 200'001};

TEST_P(CudaStatistics, ValuesOfManyTensorsAreTheCpusBits) {
  const auto all = make_many(kCounts);
  std::vector<TensorSum> sums;
  for (const Difference& made : all) sums.push_back({{&made.placed_term, 1}, made.count});
  const auto found = measure_values(sums, stream(), backend());
  ASSERT_EQ(found.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    const TermTile term = host_term(all[i]);
    expect_equal(found[i], all[i].is_double() ? values_on_cpu<double>({&term, 1}, all[i].count)
                                              : values_on_cpu<float>({&term, 1}, all[i].count));
  }
}

TEST_P(CudaStatistics, PairsOfManyTensorsAreTheCpusBits) {
  const auto firsts = make_many(kCounts);
  auto seconds = make_many(kCounts);
  std::vector<TensorPair> pairs;
  for (std::size_t i = 0; i < firsts.size(); ++i)
    pairs.push_back({{&firsts[i].placed_term, 1}, {&seconds[i].placed_term, 1}, firsts[i].count});
  const auto found = measure_pairs(pairs, stream(), backend());
  for (std::size_t i = 0; i < firsts.size(); ++i) {
    SCOPED_TRACE(i);
    const TermTile a = host_term(firsts[i]), b = host_term(seconds[i]);
    const std::size_t count = firsts[i].count;
    expect_equal(found[i], firsts[i].is_double() ? pairs_on_cpu<double>({&a, 1}, {&b, 1}, count)
                                                 : pairs_on_cpu<float>({&a, 1}, {&b, 1}, count));
  }
}

TEST_P(CudaStatistics, SumsSeveralTermsInOrder) {
  const Difference a = make(Dtype::kBF16, Dtype::kBF16, 70'000, 0.7),
                   b = make(Dtype::kF32, Dtype::kF16, 70'000, -2);
  const TermTile placed[] = {a.placed_term, b.placed_term}, host[] = {host_term(a), host_term(b)};
  const TensorSum sum{placed, 70'000};
  expect_equal(measure_values({&sum, 1}, stream(), backend()).front(),
               values_on_cpu<float>(host, 70'000));
}

TEST_P(CudaStatistics, InDoubleWhenAsked) {
  const Difference made = make(Dtype::kF32, Dtype::kF32, 70'000, 0.7);
  const TensorSum sum{{&made.placed_term, 1}, 70'000, true};
  const TermTile term = host_term(made);
  expect_equal(measure_values({&sum, 1}, stream(), backend()).front(),
               values_on_cpu<double>({&term, 1}, 70'000));
}

TEST_P(CudaStatistics, NothingOfNothing) {
  EXPECT_TRUE(measure_values({}, stream(), backend()).empty());
  EXPECT_TRUE(measure_pairs({}, stream(), backend()).empty());
  const TensorSum no_terms{{}, 100}, no_elements{{}, 0};
  for (const TensorSum& sum : {no_terms, no_elements})
    expect_equal(measure_values({&sum, 1}, stream(), backend()).front(), {});
}

SUTURE_ON_EVERY_MACHINE(CudaStatistics);

}  // namespace
}  // namespace suture::kernels
