#include "training.h"

#include <algorithm>
#include <cstdio>

#include <ATen/ATen.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

namespace miniature {
namespace {

constexpr double kLargestGradient = 1;
constexpr int kWarmUpSteps = 50;
constexpr int kReportEvery = 100;

// Two parts, the shorter sequences and the longer ones: less padding.
std::vector<Batch> batches_by_length(std::vector<Sequence> sequences) {
  std::stable_sort(sequences.begin(), sequences.end(), [](const Sequence& a, const Sequence& b) {
    return a.tokens.size() < b.tokens.size();
  });
  const auto middle = sequences.begin() + static_cast<std::ptrdiff_t>(sequences.size() / 2);
  return {make_batch({sequences.begin(), middle}), make_batch({middle, sequences.end()})};
}

std::vector<Sequence> draw(const suture::Tokenizer& tokenizer, const DataSet& data_set,
                           Random& random, int size) {
  std::vector<Sequence> sequences;
  for (int i = 0; i < size; ++i) sequences.push_back(encode(tokenizer, data_set(random)));
  return sequences;
}

// Adds the gradients of the mean cross-entropy, and returns it.
double accumulate_gradients(const Transformer& model, const std::vector<Batch>& batches) {
  std::int64_t targets = 0;
  for (const Batch& batch : batches) targets += batch.targets.numel();
  double total = 0;
  for (const Batch& batch : batches) {
    const at::Tensor loss =
        log_probabilities(model, batch).sum().div(-static_cast<double>(targets));
    loss.backward();
    total += loss.item<double>();
  }
  return total;
}

}  // namespace

Sequence encode(const suture::Tokenizer& tokenizer, const Example& example) {
  Sequence sequence{tokenizer.encode(example.prompt), 0};
  sequence.prompt_length = sequence.tokens.size();
  const std::vector<std::int64_t> answer = tokenizer.encode(example.answer + "<|end|>");
  sequence.tokens.insert(sequence.tokens.end(), answer.begin(), answer.end());
  return sequence;
}

Batch make_batch(const std::vector<Sequence>& sequences) {
  std::size_t length = 0;
  for (const Sequence& sequence : sequences) length = std::max(length, sequence.tokens.size() - 1);
  std::vector<std::int64_t> tokens, positions, targets;
  for (const Sequence& sequence : sequences) {
    const std::size_t row = tokens.size();
    tokens.insert(tokens.end(), sequence.tokens.begin(), sequence.tokens.end() - 1);
    tokens.resize(row + length, 0);
    for (std::size_t i = sequence.prompt_length; i < sequence.tokens.size(); ++i) {
      positions.push_back(static_cast<std::int64_t>(row + i - 1));
      targets.push_back(sequence.tokens[i]);
    }
  }
  return {at::tensor(tokens).view({-1, static_cast<std::int64_t>(length)}), at::tensor(positions),
          at::tensor(targets)};
}

at::Tensor log_probabilities(const Transformer& model, const Batch& batch) {
  const at::Tensor hidden = model.hidden_states(batch.tokens).flatten(0, 1);
  const at::Tensor scores = model.logits(hidden.index_select(0, batch.positions));
  return scores.log_softmax(-1).gather(1, batch.targets.unsqueeze(1)).squeeze(1);
}

double warm_up_and_decay(int step, int steps) {
  const double risen = std::min(1.0, (step + 1.0) / kWarmUpSteps);
  return risen * (1 - 0.9 * step / steps);
}

void train(const Transformer& model, const suture::Tokenizer& tokenizer, const DataSet& data_set,
           Random& random, const Schedule& schedule) {
  const std::vector<at::Tensor> parameters = model.parameters();
  for (const at::Tensor& parameter : parameters) parameter.set_requires_grad(true);
  torch::optim::AdamWOptions options(schedule.learning_rate);
  torch::optim::AdamW optimizer(parameters, options.weight_decay(schedule.weight_decay));
  for (int step = 0; step < schedule.steps; ++step) {
    optimizer.param_groups()[0].options().set_lr(schedule.learning_rate *
                                                 warm_up_and_decay(step, schedule.steps));
    optimizer.zero_grad();
    const double loss = accumulate_gradients(
        model, batches_by_length(draw(tokenizer, data_set, random, schedule.batch_size)));
    torch::nn::utils::clip_grad_norm_(parameters, kLargestGradient);
    optimizer.step();
    if ((step + 1) % kReportEvery == 0) {
      std::printf("  step %d: loss %.4f\n", step + 1, loss);
      std::fflush(stdout);
    }
  }
}

}  // namespace miniature
