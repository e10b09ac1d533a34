#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <gtest/gtest.h>

#include "suture/language_model.h"
#include "suture/live_weights.h"

#include "support/tensor_bytes.h"

namespace suture {
namespace {

constexpr std::uint64_t kMemoryNeeded = std::uint64_t{4500} << 20;

std::uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    std::uint64_t kilobytes = 0;
    if (words >> key >> kilobytes && key == "MemAvailable:") return kilobytes << 10;
  }
  return 0;
}

// The shape of Qwen2.5-0.5B: 494 million parameters, 988 MB in bf16.
const char* config() {
  return R"({"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896,
    "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "tie_word_embeddings": true})";
}

std::map<std::string, std::vector<std::int64_t>> shapes() {
  std::map<std::string, std::vector<std::int64_t>> all{{"model.embed_tokens.weight", {151936, 896}},
                                                       {"model.norm.weight", {896}}};
  for (int i = 0; i < 24; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    all[layer + "input_layernorm.weight"] = all[layer + "post_attention_layernorm.weight"] = {896};
    for (const auto& [name, rows] :
         {std::pair<const char*, int>{"q", 896}, {"k", 128}, {"v", 128}}) {
      all[layer + "self_attn." + name + "_proj.weight"] = {rows, 896};
      all[layer + "self_attn." + name + "_proj.bias"] = {rows};
    }
    all[layer + "self_attn.o_proj.weight"] = {896, 896};
    all[layer + "mlp.gate_proj.weight"] = all[layer + "mlp.up_proj.weight"] = {4864, 896};
    all[layer + "mlp.down_proj.weight"] = {896, 4864};
  }
  return all;
}

// Random numbers, the same few million again and again at places that do not line up.
StateDict make_weights(std::uint64_t seed, double scale, double norm_mean) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::Tensor pool = (at::randn({1'048'573}, generator, at::kFloat) * scale).to(at::kBFloat16);
  StateDict weights;
  std::int64_t next = 0;
  for (const auto& [name, shape] : shapes()) {
    const at::Tensor tensor = at::empty(shape, at::kBFloat16);
    const at::Tensor flat = tensor.view({-1});
    for (std::int64_t done = 0; done < flat.numel();) {
      const std::int64_t part = std::min(flat.numel() - done, pool.numel() - next);
      flat.narrow(0, done, part).copy_(pool.narrow(0, next, part));
      done += part;
      next = (next + part) % pool.numel();
    }
    if (name.find("norm") != std::string::npos) tensor.add_(norm_mean);
    weights.set(name, tensor);
  }
  return weights;
}

// A service whose answer depends on every weight: the scores of all tokens behind a prompt of one.
class Service {
 public:
  explicit Service(StateDict weights) : model_(config(), std::move(weights)) {}

  at::Tensor answer(std::size_t request) const {
    const at::Tensor prompt =
        at::full({1, 1}, static_cast<std::int64_t>(request) * 7919, at::kLong);
    return model_.logits(prompt).flatten();
  }
  const StateDict& weights() const { return model_.weights(); }

 private:
  LanguageModel model_;
};

struct Answer {
  std::size_t request;
  std::uint64_t version;
  std::size_t state;  // whose answer it is, or none's
};

// A service answers request after request on one thread while another one swaps its vectors, which
// are as large as the model, as fast as it can. Every answer is, to the bit, that of the one state
// that its version names, and every request has one.
TEST(LiveLanguageModel, SwapsVectorsUnderLoadAndLosesAndMixesNoRequest) {
  if (available_memory() < kMemoryNeeded) GTEST_SKIP() << "needs 4.5 GB of memory";
  constexpr std::size_t kRequests = 40, kPrompts = 2;
  const Service service(make_weights(1, 0.02, 1));
  const StateDict deltas = make_weights(2, 0.002, 0);  // of both vectors, to hold it once
  const TaskVector math = TaskVector::from(deltas),
                   code = (-1.5 * math).scaled_by_layer(std::vector<double>(24, 0.5), 0.25);
  LiveWeights live(service.weights());
  const at::Tensor sample = service.weights().at("model.layers.7.mlp.up_proj.weight").clone();

  // Which vector each version of the weights holds; written before anyone can see the version.
  constexpr std::size_t kStates = 3;
  std::vector<std::size_t> state_of{0};
  std::map<std::pair<std::size_t, std::size_t>, at::Tensor> expected;
  std::vector<Answer> answers;
  std::atomic<bool> prepared{false}, served{false};

  std::thread serving([&] {
    for (std::size_t state = 0; state < kStates; ++state) {
      LiveEdit edit;
      if (state > 0) edit = live.apply(state == 1 ? math : code);
      for (std::size_t prompt = 0; prompt < kPrompts; ++prompt)
        expected[{state, prompt}] = service.answer(prompt);
    }
    state_of.resize(live.version() + 1, 0);
    prepared = true;
    for (std::size_t request = 0; request < kRequests; ++request) {
      const LiveBatch batch = live.batch();
      const at::Tensor scores = service.answer(request % kPrompts);
      Answer answer{request, batch.version(), kStates};
      for (std::size_t state = 0; state < kStates; ++state)
        if (test::same_bits(scores, expected.at({state, request % kPrompts}))) answer.state = state;
      answers.push_back(answer);
    }
    served = true;
  });

  while (!prepared) std::this_thread::yield();
  LiveEdit edit;
  for (std::size_t state = 1; !served; state = (state + 1) % kStates) {
    state_of.push_back(state);
    live.change([&](LiveChange& change) {
      if (edit.applied()) change.undo(edit);
      if (state > 0) edit = change.apply(state == 1 ? math : code);
    });
  }
  serving.join();

  for (std::size_t state = 1; state < kStates; ++state)
    for (std::size_t prompt = 0; prompt < kPrompts; ++prompt)
      ASSERT_FALSE(test::same_bits(expected.at({0, prompt}), expected.at({state, prompt})));
  ASSERT_EQ(answers.size(), kRequests);
  std::map<std::size_t, int> seen;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].request, i);
    EXPECT_EQ(answers[i].state, state_of.at(answers[i].version)) << "request " << i;
    ++seen[answers[i].state];
  }
  EXPECT_EQ(seen.size(), kStates) << "not under load: some state never served";
  if (edit.applied()) edit.undo();
  EXPECT_EQ(live.failure(), "");
  EXPECT_TRUE(test::same_bits(service.weights().at("model.layers.7.mlp.up_proj.weight"), sample));
  EXPECT_TRUE(test::same_bits(service.answer(1), service.answer(1)));
}

}  // namespace
}  // namespace suture
