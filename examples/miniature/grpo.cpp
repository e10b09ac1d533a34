#include "grpo.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
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
  std::vector<Sequence> sequences;
  std::vector<double> advantages;  // of each sequence
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

struct Group {
  Problem problem;
  std::vector<std::int64_t> prompt;
  std::vector<std::vector<std::int64_t>> completions;
};

// Completes all prompts of one length together.
void complete_groups(std::vector<Group>& groups, const Transformer& model, std::int64_t end_token,
                     at::Generator& generator, int group_size) {
  std::map<std::size_t, std::vector<Group*>> by_length;
  for (Group& group : groups) by_length[group.prompt.size()].push_back(&group);
  for (const auto& [length, alike] : by_length) {
    std::vector<std::int64_t> rows;
    for (const Group* group : alike)
      for (int i = 0; i < group_size; ++i)
        rows.insert(rows.end(), group->prompt.begin(), group->prompt.end());
    const at::Tensor prompts = at::tensor(rows).view({-1, static_cast<std::int64_t>(length)});
    const auto completions = complete(model, prompts, end_token, &generator);
    auto next = completions.begin();
    for (Group* group : alike) {
      group->completions.assign(next, next + group_size);
      next += group_size;
    }
  }
}

void add_samples(Samples& samples, const Group& group, const suture::Tokenizer& tokenizer) {
  std::vector<double> rewards;
  for (const std::vector<std::int64_t>& completion : group.completions) {
    const std::string text = tokenizer.decode(completion);
    rewards.push_back(answer_of(text) == answer_of(group.problem.answer) ? 1 : 0);
    samples.mean_reward += rewards.back();
    samples.share_worked += text.find(',') != std::string::npos ? 1 : 0;
    Sequence sequence{group.prompt, group.prompt.size()};
    sequence.tokens.insert(sequence.tokens.end(), completion.begin(), completion.end());
    samples.sequences.push_back(std::move(sequence));
  }
  const std::vector<double> advantages = group_advantages(rewards);
  samples.advantages.insert(samples.advantages.end(), advantages.begin(), advantages.end());
}

Samples sample(const Transformer& model, const suture::Tokenizer& tokenizer,
               const ProblemSet& problem_set, Random& random, at::Generator& generator,
               const GrpoSchedule& schedule) {
  std::vector<Group> groups;
  for (int i = 0; i < schedule.prompts; ++i) {
    const Problem problem = problem_set(random);
    groups.push_back({problem, tokenizer.encode(problem.prompt), {}});
  }
  complete_groups(groups, model, tokenizer.eos_id().value(), generator, schedule.group_size);
  Samples samples;
  for (const Group& group : groups) add_samples(samples, group, tokenizer);
  samples.mean_reward /= static_cast<double>(samples.sequences.size());
  samples.share_worked /= static_cast<double>(samples.sequences.size());
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
               const suture::Tokenizer& tokenizer, const ProblemSet& problem_set, Random& random,
               const GrpoSchedule& schedule) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(random.bits());
  const std::vector<at::Tensor> parameters = model.parameters();
  for (const at::Tensor& parameter : parameters) parameter.set_requires_grad(true);
  torch::optim::AdamWOptions options(schedule.learning_rate);
  torch::optim::AdamW optimizer(parameters, options.weight_decay(0));
  for (int step = 0; step < schedule.steps; ++step) {
    const Samples samples = sample(model, tokenizer, problem_set, random, generator, schedule);
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
