#include "model/rope.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

namespace suture::model {
namespace {

constexpr double kTwoPi = 6.283185307179586;

at::Tensor plain_frequencies(const DecoderConfig& config) {
  const at::Tensor exponents =
      at::arange(0, config.head_size, 2, at::kFloat) / static_cast<double>(config.head_size);
  return at::reciprocal(at::pow(config.rope.theta, exponents));
}

// Llama 3: long waves are stretched by the factor, short ones kept, and the band between them
// interpolated.
at::Tensor llama3_frequencies(const DecoderConfig& config) {
  const RopeConfig& rope = config.rope;
  const at::Tensor plain = plain_frequencies(config);
  const at::Tensor waves = kTwoPi / plain;
  const double longest = rope.original_max_length / rope.low_frequency_factor;
  const double shortest = rope.original_max_length / rope.high_frequency_factor;
  const at::Tensor stretched = at::where(waves > longest, plain / rope.factor, plain);
  const at::Tensor smooth = (rope.original_max_length / waves - rope.low_frequency_factor) /
                            (rope.high_frequency_factor - rope.low_frequency_factor);
  const at::Tensor between = (1 - smooth) * stretched / rope.factor + smooth * stretched;
  const at::Tensor is_between = (waves >= shortest).logical_and(waves <= longest);
  return at::where(is_between, between, stretched);
}

// YaRN (arXiv 2309.00071): the dimension that turns `rotations` times over the original length.
double yarn_dimension(const DecoderConfig& config, double rotations) {
  return static_cast<double>(config.head_size) *
         std::log(config.rope.original_max_length / (rotations * kTwoPi)) /
         (2 * std::log(config.rope.theta));
}

at::Tensor yarn_frequencies(const DecoderConfig& config) {
  const RopeConfig& rope = config.rope;
  double low = yarn_dimension(config, rope.beta_fast);
  double high = yarn_dimension(config, rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(config.head_size - 1));
  if (low == high) high += 0.001;
  const at::Tensor ramp =
      at::clamp((at::arange(config.head_size / 2, at::kFloat) - low) / (high - low), 0, 1);
  const at::Tensor kept = 1 - ramp;
  const at::Tensor periods = at::pow(rope.theta, at::arange(0, config.head_size, 2, at::kFloat) /
                                                     static_cast<double>(config.head_size));
  return at::reciprocal(rope.factor * periods) * (1 - kept) + at::reciprocal(periods) * kept;
}

at::Tensor inverse_frequencies(const DecoderConfig& config) {
  switch (config.rope.kind) {
    case RopeConfig::Kind::kLinear:
      return plain_frequencies(config) / config.rope.factor;
    case RopeConfig::Kind::kYarn:
      return yarn_frequencies(config);
    case RopeConfig::Kind::kLlama3:
      return llama3_frequencies(config);
    case RopeConfig::Kind::kDynamic:  // stretches only beyond the length that the model was made
                                      // for
    case RopeConfig::Kind::kDefault:
      break;
  }
  return plain_frequencies(config);
}

double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

double attention_factor(const RopeConfig& rope) {
  if (rope.kind != RopeConfig::Kind::kYarn) return 1;
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.mscale && rope.mscale_all_dim) {
    return yarn_magnitude(rope.factor, *rope.mscale) /
           yarn_magnitude(rope.factor, *rope.mscale_all_dim);
  }
  return yarn_magnitude(rope.factor, 1);
}

}  // namespace

RotationTable make_rotation_table(const DecoderConfig& config, std::int64_t length,
                                  const at::TensorOptions& options) {
  const at::Tensor positions = at::arange(length, at::kFloat).unsqueeze(1);
  const at::Tensor half = positions * inverse_frequencies(config);
  const at::Tensor angles = at::cat({half, half}, 1);
  const double factor = attention_factor(config.rope);
  return {(angles.cos() * factor).to(options), (angles.sin() * factor).to(options)};
}

at::Tensor rotate(const at::Tensor& heads, const at::Tensor& cosines, const at::Tensor& sines) {
  const std::int64_t half = heads.size(-1) / 2;
  const at::Tensor turned =
      at::cat({heads.narrow(-1, half, half).neg(), heads.narrow(-1, 0, half)}, -1);
  return heads * cosines + turned * sines;
}

}  // namespace suture::model
