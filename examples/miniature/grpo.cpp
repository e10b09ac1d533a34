#include "grpo.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include "generation.h"
#include "skills.h"
#include "training.h"

namespace miniature {
namespace {

constexpr double kLargestGradient = 1;
constexpr int kReportEvery = 25;

struct Samples {
  std::vector<Sequence> sequences;  // those that teach something
  std::vector<double> advantages;   // of each of them
  double mean_reward = 0;
  double share_worked = 0;
};

// How much better than its group a sample is, in the group's deviations. All 0 where all are alike.
std::vector<double> group_advantages(const std::vector<double>& rewards) {
  double mean = 0, square = 0;
  for (const double reward : rewards) mean += reward / static_cast<double>(rewards.size());
  for (const double reward : rewards) square += (reward - mean) * (reward - mean);
  const double deviation = std::sqrt(square / static_cast<double>(rewards.size() - 1));
  std::vector<double> advantages;
  for (const double reward : rewards) advantages.push_back((reward - mean) / (deviation + 1e-4));
  return advantages;
}

Samples sample(const Transformer& model, const suture::Tokenizer& tokenizer, Random& random,
               at::Generator& generator, const GrpoSchedule& schedule) {
  std::vector<Calculation> sums;
  std::vector<std::int64_t> prompts;
  for (int i = 0; i < schedule.prompts; ++i) {
    sums.push_back(random_sum(random));
    const std::vector<std::int64_t> prompt = tokenizer.encode(sums.back().prompt());
    for (int k = 0; k < schedule.group_size; ++k)
      prompts.insert(prompts.end(), prompt.begin(), prompt.end());
  }
  const int rows = schedule.prompts * schedule.group_size;
  const at::Tensor prompt_rows = at::tensor(prompts).view({rows, -1});
  const std::vector<std::vector<std::int64_t>> completions =
      complete(model, prompt_rows, tokenizer.eos_id().value(), &generator);

  Samples samples;
  for (int i = 0; i < schedule.prompts; ++i) {
    std::vector<double> rewards;
    for (int k = 0; k < schedule.group_size; ++k) {
      const std::string text =
          tokenizer.decode(completions[static_cast<std::size_t>(i * schedule.group_size + k)]);
      rewards.push_back(answer_of(text) == sums[static_cast<std::size_t>(i)].result() ? 1 : 0);
      samples.mean_reward += rewards.back() / rows;
      samples.share_worked += (text.find(',') != std::string::npos ? 1.0 : 0.0) / rows;
    }
    const std::vector<double> advantages = group_advantages(rewards);
    for (int k = 0; k < schedule.group_size; ++k) {
      const auto row = static_cast<std::size_t>(i * schedule.group_size + k);
      const std::size_t prompt_length = static_cast<std::size_t>(prompt_rows.size(1));
      Sequence sequence{{prompts.begin() + static_cast<std::ptrdiff_t>(row * prompt_length),
                         prompts.begin() + static_cast<std::ptrdiff_t>((row + 1) * prompt_length)},
                        prompt_length};
      sequence.tokens.insert(sequence.tokens.end(), completions[row].begin(),
                             completions[row].end());
      samples.sequences.push_back(std::move(sequence));
      samples.advantages.push_back(advantages[static_cast<std::size_t>(k)]);
    }
  }
  return samples;
}

// One step on fresh samples: the ratio to the policy that drew them is 1, its gradient that of the
// log-probability. The divergence is Schulman's estimate, as in the GRPO paper.
at::Tensor grpo_loss(const Transformer& model, const Transformer& reference, const Samples& samples,
                     double kl_weight) {
  const Batch batch = make_batch(samples.sequences);
  std::vector<double> token_advantages;
  for (std::size_t i = 0; i < samples.sequences.size(); ++i) {
    const Sequence& sequence = samples.sequences[i];
    token_advantages.insert(token_advantages.end(), sequence.tokens.size() - sequence.prompt_length,
                            samples.advantages[i]);
  }
  const at::Tensor advantages = at::tensor(token_advantages).to(at::kFloat);
  at::Tensor reference_log_probabilities;
  {
    const at::NoGradGuard no_gradients;
    reference_log_probabilities = log_probabilities(reference, batch);
  }
  const at::Tensor current = log_probabilities(model, batch);
  const at::Tensor ratio = (current - current.detach()).exp();
  const at::Tensor excess = reference_log_probabilities - current;
  const at::Tensor divergence = excess.exp() - excess - 1;
  return (divergence * kl_weight - ratio * advantages).mean();
}

}  // namespace

void reinforce(const Transformer& model, const Transformer& reference,
               const suture::Tokenizer& tokenizer, Random& random, const GrpoSchedule& schedule) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(random.bits());
  const std::vector<at::Tensor> parameters = model.parameters();
  for (const at::Tensor& parameter : parameters) parameter.set_requires_grad(true);
  torch::optim::AdamWOptions options(schedule.learning_rate);
  torch::optim::AdamW optimizer(parameters, options.weight_decay(0));
  for (int step = 0; step < schedule.steps; ++step) {
    const Samples samples = sample(model, tokenizer, random, generator, schedule);
    optimizer.zero_grad();
    grpo_loss(model, reference, samples, schedule.kl_weight).backward();
    torch::nn::utils::clip_grad_norm_(parameters, kLargestGradient);
    optimizer.step();
    if ((step + 1) % kReportEvery == 0) {
      std::printf("  step %d: reward %.3f, with steps %.3f\n", step + 1, samples.mean_reward,
                  samples.share_worked);
      std::fflush(stdout);
    }
  }
}

}  // namespace miniature
