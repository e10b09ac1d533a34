// Bandwidth of the CUDA kernels on weights as large as a 7 B-parameter bf16 model's, beside a copy
// from device memory to device memory that moves as many bytes. Needs a GPU with 80 GB; a smaller
// one gets fewer layers: `--layers=8`.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <benchmark/benchmark.h>

#include "core/cuda_device.h"
#include "core/scalar_type.h"
#include "kernels/batch.h"

namespace {

using suture::Dtype;
using suture::kernels::TensorSum;
using suture::kernels::TensorUpdate;
using suture::kernels::TermTile;

std::int64_t layers = 32;

// The matrices of a Llama 2 7 B, and its norms.
std::vector<std::vector<std::int64_t>> shapes() {
  std::vector<std::vector<std::int64_t>> all{{32000, 4096}, {32000, 4096}, {4096}};
  for (std::int64_t i = 0; i < layers; ++i) {
    for (int k = 0; k < 4; ++k) all.push_back({4096, 4096});
    for (int k = 0; k < 3; ++k) all.push_back({11008, 4096});
    for (int k = 0; k < 2; ++k) all.push_back({4096});
  }
  return all;
}

struct Weights {
  explicit Weights(at::Device device) {
    for (const auto& shape : shapes()) {
      tensors.push_back(
          at::empty(shape, at::TensorOptions(device).dtype(at::kBFloat16)).normal_(0, 0.02));
      bytes += tensors.back().nbytes();
    }
  }
  std::vector<at::Tensor> tensors;
  std::uint64_t bytes = 0;
};

std::string missing() {
  try {
    suture::require_device(at::Device(at::kCUDA, 0));
  } catch (const std::exception& error) {
    return error.what();
  }
  return suture::kernels::why_no_cuda_kernels(0);
}

const at::Device& device() {
  static const at::Device gpu(at::kCUDA, 0);
  return gpu;
}

void synchronize() { c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeDevice(0); }

// Three models' worth of weights, made once.
struct Models {
  Weights target{device()}, tuned{device()}, base{device()};
};
const Models& models() {
  static const Models all;
  return all;
}

std::vector<TermTile> differences() {
  std::vector<TermTile> terms;
  for (std::size_t i = 0; i < models().tuned.tensors.size(); ++i) {
    terms.push_back({{models().tuned.tensors[i].const_data_ptr(), Dtype::kBF16},
                     {models().base.tensors[i].const_data_ptr(), Dtype::kBF16},
                     1e-3});
  }
  return terms;
}

template <typename Work>
void run(benchmark::State& state, std::uint64_t bytes_moved, Work&& work) {
  work();  // the first call loads kernels and takes memory
  synchronize();
  for (auto _ : state) {
    work();
    synchronize();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes_moved) *
                          static_cast<std::int64_t>(state.iterations()));
}

// Reads and writes half of the bytes each that the update reads and writes: four models in all.
void copy_as_many_bytes(benchmark::State& state) {
  if (const std::string reason = missing(); !reason.empty())
    return state.SkipWithError(reason.c_str());
  run(state, 4 * models().target.bytes, [] {
    for (std::size_t i = 0; i < models().target.tensors.size(); ++i) {
      models().target.tensors[i].copy_(models().tuned.tensors[i], true);
      models().base.tensors[i].copy_(models().tuned.tensors[i], true);
    }
  });
}
BENCHMARK(copy_as_many_bytes)->Unit(benchmark::kMillisecond)->UseRealTime();

void update_in_place(benchmark::State& state) {
  if (const std::string reason = missing(); !reason.empty())
    return state.SkipWithError(reason.c_str());
  const auto terms = differences();
  std::vector<TensorUpdate> updates;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const at::Tensor& target = models().target.tensors[i];
    updates.push_back({target.mutable_data_ptr(),
                       Dtype::kBF16,
                       static_cast<std::uint64_t>(target.numel()),
                       {&terms[i], 1}});
  }
  const auto stream = suture::kernel_stream(suture::current_stream(device()));
  run(state, 4 * models().target.bytes, [&] { suture::kernels::add_in_place(updates, stream); });
}
BENCHMARK(update_in_place)->Unit(benchmark::kMillisecond)->UseRealTime();

void measure_differences(benchmark::State& state) {
  if (const std::string reason = missing(); !reason.empty())
    return state.SkipWithError(reason.c_str());
  const auto terms = differences();
  std::vector<TensorSum> sums;
  for (std::size_t i = 0; i < terms.size(); ++i)
    sums.push_back({{&terms[i], 1}, static_cast<std::uint64_t>(models().tuned.tensors[i].numel())});
  const auto stream = suture::kernel_stream(suture::current_stream(device()));
  run(state, 2 * models().target.bytes,
      [&] { benchmark::DoNotOptimize(suture::kernels::measure_values(sums, stream)); });
}
BENCHMARK(measure_differences)->Unit(benchmark::kMillisecond)->UseRealTime();

// Takes `--layers=N` out of the arguments.
void take_layers(int& argc, char** argv) {
  constexpr char kOption[] = "--layers=";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], kOption, sizeof kOption - 1) == 0) {
      layers = std::max(1L, std::strtol(argv[i] + sizeof kOption - 1, nullptr, 10));
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
}

}  // namespace

int main(int argc, char** argv) {
  take_layers(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
