// Times swapping one vector for another in live weights of the 0.5 B shape (bf16, in memory) beside
// copying as many bytes, in turn:
//
//   live_bench [ROUNDS [THREADS]]
//
// Prints medians in seconds and the ratio to the copy. 4 GB of memory.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "suture/live_weights.h"

#include "stream/worker_pool.h"

namespace {

using suture::StateDict;
using suture::TaskVector;

StateDict make(double value) {
  StateDict weights;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    const at::Tensor tensor = at::empty(shape, at::kBFloat16);
    tensor.fill_(value);
    weights.set(name, tensor);
  };
  add("model.embed_tokens.weight", {151936, 896});
  for (int i = 0; i < 24; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add(layer + "self_attn.q_proj.weight", {896, 896});
    add(layer + "self_attn.k_proj.weight", {128, 896});
    add(layer + "self_attn.v_proj.weight", {128, 896});
    add(layer + "self_attn.o_proj.weight", {896, 896});
    add(layer + "mlp.gate_proj.weight", {4864, 896});
    add(layer + "mlp.up_proj.weight", {4864, 896});
    add(layer + "mlp.down_proj.weight", {896, 4864});
    add(layer + "input_layernorm.weight", {896});
  }
  return weights;
}

// Every tensor, a mebibyte at a time on all threads.
void copy(const StateDict& from, const StateDict& to, const suture::RunOptions& options) {
  constexpr std::size_t kPart = std::size_t{1} << 20;
  struct Part {
    char* to;
    const char* from;
    std::size_t bytes;
  };
  std::vector<Part> parts;
  for (const auto& [name, tensor] : from) {
    auto* out = static_cast<char*>(to.at(name).mutable_data_ptr());
    const auto* in = static_cast<const char*>(tensor.const_data_ptr());
    for (std::size_t done = 0; done < tensor.nbytes(); done += kPart)
      parts.push_back({out + done, in + done, std::min(kPart, tensor.nbytes() - done)});
  }
  suture::stream::run_jobs(parts.size(), options, [&] {
    return [&](std::size_t i) { std::memcpy(parts[i].to, parts[i].from, parts[i].bytes); };
  });
}

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 7;
  suture::LiveOptions options;
  if (argc > 2) options.run.threads = static_cast<unsigned>(std::atoi(argv[2]));
  const StateDict weights = make(0.5), deltas = make(0.0078125);
  const TaskVector math = TaskVector::from(deltas), code = -0.5 * math;
  suture::LiveWeights live(weights);
  std::map<std::string, std::vector<double>> times;
  {
    suture::LiveEdit edit;
    times["1 first application, which keeps the copy"].push_back(
        seconds([&] { edit = live.apply(math); }));
    for (int i = 0; i < rounds; ++i) {
      const TaskVector& next = i % 2 == 0 ? code : math;
      times["2 swap of one vector for another"].push_back(seconds([&] {
        live.change([&](suture::LiveChange& change) {
          change.undo(edit);
          edit = change.apply(next);
        });
      }));
      times["3 switching off"].push_back(seconds([&] { edit.enable(false); }));
      edit.enable();
    }
  }
  for (int i = 0; i < rounds; ++i)
    times["0 copy of as many bytes"].push_back(
        seconds([&] { copy(deltas, weights, options.run); }));
  const double yardstick = median(times["0 copy of as many bytes"]);
  for (const auto& [what, values] : times)
    std::printf("%-45s %.3f s  %.2f\n", what.c_str() + 2, median(values),
                median(values) / yardstick);
  return 0;
}
