// Watches what a training run does to a LibTorch module while it runs: every so many steps, how far
// each layer has moved from where it began, and how far the last steps went the way of all before.
// One line of JSON each. The weights before and after are kept, so that `suture extract` can make a
// vector of the whole.
//
// usage: training_log BEFORE.safetensors AFTER.safetensors

#include <cstdio>
#include <exception>
#include <string>
#include <suture/state_dict.h>
#include <suture/task_vector.h>

#include <torch/torch.h>

namespace {

constexpr int kWidth = 32, kLayers = 3, kSteps = 60, kStepsPerLine = 20;

// Names are those of a decoder, `layers.0.mlp.up_proj.weight`, so that layers are told apart.
struct Net : torch::nn::Module {
  Net() {
    for (int layer = 0; layer < kLayers; ++layer) {
      const auto mlp = std::make_shared<torch::nn::Module>("mlp");
      up.push_back(mlp->register_module("up_proj", torch::nn::Linear(kWidth, 2 * kWidth)));
      down.push_back(mlp->register_module("down_proj", torch::nn::Linear(2 * kWidth, kWidth)));
      const auto block = std::make_shared<torch::nn::Module>("block");
      block->register_module("mlp", mlp);
      blocks->push_back(block);
    }
    register_module("layers", blocks);
  }

  torch::Tensor forward(torch::Tensor x) {
    for (std::size_t layer = 0; layer < up.size(); ++layer)
      x = x + down[layer]->forward(torch::gelu(up[layer]->forward(x)));
    return x;
  }

  torch::nn::ModuleList blocks;
  std::vector<torch::nn::Linear> up, down;
};

double train(Net& net, torch::optim::Optimizer& optimizer, int steps) {
  double loss_value = 0;
  for (int step = 0; step < steps; ++step) {
    const torch::Tensor x = torch::randn({64, kWidth});
    const torch::Tensor loss = torch::mse_loss(net.forward(x), x.flip({1}));
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    loss_value = loss.item<double>();
  }
  return loss_value;
}

void log(int step, double loss, const suture::TaskVector& change, double cosine) {
  const suture::LayerMeasure norms = change.norms();
  std::printf("{\"step\": %d, \"loss\": %.4g, \"norm\": %.4g, \"cosine\": %.3f, \"layers\": [",
              step, loss, norms.total, cosine);
  for (std::size_t layer = 0; layer < norms.layers.size(); ++layer)
    std::printf("%s%.4g", layer > 0 ? ", " : "", norms.layers[layer]);
  std::printf("]}\n");
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fprintf(stderr, "usage: training_log BEFORE.safetensors AFTER.safetensors\n");
    return 2;
  }
  torch::manual_seed(0);
  Net net;
  torch::optim::AdamW optimizer(net.parameters(), torch::optim::AdamWOptions(1e-3));

  const suture::StateDict weights = suture::state_dict_of(net);  // shared with the module
  const suture::StateDict start = weights.clone();
  suture::StateDict before = start;
  for (int step = kStepsPerLine; step <= kSteps; step += kStepsPerLine) {
    const double loss = train(net, optimizer, kStepsPerLine);
    const auto so_far = suture::TaskVector::difference(before, start);
    const auto change = suture::TaskVector::difference(weights, start);
    log(step, loss, change, suture::TaskVector::difference(weights, before).cosine(so_far));
    before = weights.clone();
  }
  suture::save(start, argv[1]);
  suture::save(weights, argv[2]);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "training_log: %s\n", error.what());
  return 2;
}
