// Throughput of the CPU kernels on one statistics tile, which stays in cache: bytes read and
// written per second.

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include <benchmark/benchmark.h>

#include "kernels/convert.h"
#include "kernels/difference.h"
#include "kernels/linear_form.h"
#include "kernels/statistics.h"

namespace {

using suture::Dtype;
using namespace suture::kernels;

constexpr std::size_t kCount = kStatisticsTile;

std::vector<float> random_values(unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> distribution(0, 0.02f);
  std::vector<float> values(kCount);
  for (float& value : values) value = distribution(generator);
  return values;
}

std::vector<char> stored(Dtype dtype, unsigned seed) {
  std::vector<char> bytes(kCount * 8);
  const std::vector<float> values = random_values(seed);
  narrow(dtype, values.data(), bytes.data(), kCount);
  return bytes;
}

void count_bytes(benchmark::State& state, std::size_t bytes_per_element) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(kCount * bytes_per_element));
}

std::size_t width_of(Dtype dtype) { return static_cast<std::size_t>(suture::bytes_of(dtype)); }

// A target, a difference to add to it, and room for the sum, all of one dtype.
class Update {
 public:
  explicit Update(Dtype dtype)
      : target_(stored(dtype, 1)),
        tuned_(stored(dtype, 2)),
        base_(stored(dtype, 3)),
        dtype_(dtype) {}

  StoredTile origin() const { return {target_.data(), dtype_}; }
  StoredTile tuned() const { return {tuned_.data(), dtype_}; }
  StoredTile base() const { return {base_.data(), dtype_}; }
  std::span<const TermTile> terms() const { return {&term_, 1}; }
  char* out() { return out_.data(); }

 private:
  std::vector<char> target_, tuned_, base_, out_ = std::vector<char>(kCount * 8);
  Dtype dtype_;
  TermTile term_{{tuned_.data(), dtype_}, {base_.data(), dtype_}, 0.8};
};

void add_difference_to_target(benchmark::State& state, Dtype dtype) {
  Update update(dtype);
  for (auto _ : state) {
    add_to_target(update.origin(), update.terms(), dtype, update.out(), kCount);
    benchmark::ClobberMemory();
  }
  count_bytes(state, 4 * width_of(dtype));
}
BENCHMARK_CAPTURE(add_difference_to_target, bf16, Dtype::kBF16);
BENCHMARK_CAPTURE(add_difference_to_target, f16, Dtype::kF16);
BENCHMARK_CAPTURE(add_difference_to_target, f32, Dtype::kF32);
BENCHMARK_CAPTURE(add_difference_to_target, f64, Dtype::kF64);

void add_and_measure_change(benchmark::State& state, Dtype dtype) {
  Update update(dtype);
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        add_to_target_measured(update.origin(), update.terms(), dtype, update.out(), kCount));
  }
  count_bytes(state, 4 * width_of(dtype));
}
BENCHMARK_CAPTURE(add_and_measure_change, bf16, Dtype::kBF16);
BENCHMARK_CAPTURE(add_and_measure_change, f16, Dtype::kF16);
BENCHMARK_CAPTURE(add_and_measure_change, f32, Dtype::kF32);
BENCHMARK_CAPTURE(add_and_measure_change, f64, Dtype::kF64);

void add_stochastically(benchmark::State& state, Dtype dtype) {
  Update update(dtype);
  for (auto _ : state) {
    add_to_target(update.origin(), update.terms(), dtype, update.out(), kCount, {true, 7, 0});
    benchmark::ClobberMemory();
  }
  count_bytes(state, 4 * width_of(dtype));
}
BENCHMARK_CAPTURE(add_stochastically, bf16, Dtype::kBF16);
BENCHMARK_CAPTURE(add_stochastically, f16, Dtype::kF16);

void subtract(benchmark::State& state, Dtype dtype) {
  Update update(dtype);
  std::vector<float> out(kCount);
  for (auto _ : state) {
    sum_of_terms(update.terms(), out.data(), kCount);
    benchmark::ClobberMemory();
  }
  count_bytes(state, 2 * width_of(dtype) + sizeof(float));
}
BENCHMARK_CAPTURE(subtract, bf16, Dtype::kBF16);
BENCHMARK_CAPTURE(subtract, f16, Dtype::kF16);

void examine(benchmark::State& state, Dtype dtype) {
  const Update update(dtype);
  for (auto _ : state)
    benchmark::DoNotOptimize(examine_difference(update.tuned(), update.base(), kCount, {}, {}));
  count_bytes(state, 2 * width_of(dtype));
}
BENCHMARK_CAPTURE(examine, bf16, Dtype::kBF16);
BENCHMARK_CAPTURE(examine, f32, Dtype::kF32);
BENCHMARK_CAPTURE(examine, f64, Dtype::kF64);

void square(benchmark::State& state, Dtype dtype) {
  const auto values = stored(dtype, 2);
  for (auto _ : state)
    benchmark::DoNotOptimize(sum_of_squares(StoredTile{values.data(), dtype}, kCount));
  count_bytes(state, width_of(dtype));
}
BENCHMARK_CAPTURE(square, bf16, Dtype::kBF16);
BENCHMARK_CAPTURE(square, f16, Dtype::kF16);

void measure_one(benchmark::State& state) {
  const auto values = random_values(1);
  for (auto _ : state) benchmark::DoNotOptimize(measure_values(values.data(), kCount));
  count_bytes(state, sizeof(float));
}
BENCHMARK(measure_one);

void measure_two(benchmark::State& state) {
  const auto first = random_values(1), second = random_values(2);
  for (auto _ : state) benchmark::DoNotOptimize(measure_pair(first.data(), second.data(), kCount));
  count_bytes(state, 2 * sizeof(float));
}
BENCHMARK(measure_two);

}  // namespace
