#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/causal_model.h"
#include "suture/dtype.h"
#include "suture/run_options.h"
#include "suture/state_dict.h"

namespace suture {

/// How a language model computes.
struct LanguageModelOptions {
  at::Device device = at::kCPU;

  /// Of activations: f32, bf16 or f16. Weights stay in the dtype they are stored in and are widened
  /// or rounded to this one as they are used, so that a bf16 checkpoint computes in f32 on exactly
  /// its own values.
  Dtype dtype = Dtype::kF32;

  /// Settings in `config.json` that are not known do not stop the model from being opened. They may
  /// change what it computes.
  bool ignore_unknown_settings = false;

  /// Of loading. Its `threads` also multiply weights for as long as the model lives; LibTorch's own
  /// operations run on LibTorch's threads, whose number is the caller's affair.
  RunOptions run;
};

/// What a model is, in numbers.
struct LanguageModelInfo {
  std::string architecture;  ///< `Qwen2ForCausalLM`.
  std::int64_t layers = 0;
  std::int64_t hidden_size = 0;
  std::int64_t vocab_size = 0;
  std::int64_t max_length = 0;          ///< `max_position_embeddings`.
  std::int64_t parameters = 0;          ///< Elements of all weights, a tied head counted once.
  std::uint64_t weight_bytes = 0;       ///< Memory of the weights.
  std::uint64_t cache_token_bytes = 0;  ///< Memory of the key-value cache for one token.
  Dtype dtype = Dtype::kF32;            ///< Of activations.
  TokenIds end_tokens;  ///< `eos_token_id` of generation_config.json, else config.json.
};

/// The forward pass of a Hugging Face decoder: Qwen2 and Qwen2.5, Qwen3, Llama 2 and 3, Mistral.
/// Logits equal those of transformers up to the order of sums. It computes on a StateDict whose
/// tensors it shares: what is written into them in place, such as a task vector, takes effect at
/// the next call. Not synchronised: one call at a time, and none while weights are being changed.
class LanguageModel : public CausalModel {
 public:
  /// Reads `config.json` and the weights of a model folder or `org/name[@revision]`. Throws what
  /// `load` throws; UsageError for an architecture or a setting that is not implemented, by its
  /// name; FormatError for a missing, unexpected or misshapen tensor.
  static LanguageModel open(const std::string& location, const LanguageModelOptions& options = {});

  /// A model of the text of a `config.json` and its weights. Tensors on `options.device` are
  /// shared, others copied to it: apply vectors to `weights()`. `name` stands for the model in
  /// errors. Throws as `open` does.
  LanguageModel(const std::string& config_json, StateDict weights,
                const LanguageModelOptions& options = {}, const std::string& name = "the model");

  LanguageModel(LanguageModel&&) noexcept;
  LanguageModel& operator=(LanguageModel&&) noexcept;
  ~LanguageModel() override;

  LanguageModelInfo info() const;

  /// The weights, shared with the model.
  const StateDict& weights() const;

  /// Scores of every token of the vocabulary behind every token: `token_ids` int64
  /// [batch, length] gives f32 [batch, length, vocab_size] on the model's device.
  at::Tensor logits(const at::Tensor& token_ids) const;

  std::vector<ContinuationScore> score(const std::vector<ScoringRequest>& requests,
                                       const ModelRun& run = {}) override;
  std::vector<Generation> generate(const std::vector<GenerationRequest>& requests,
                                   const ModelRun& run = {}) override;
  std::int64_t max_length() const override;
  std::int64_t vocab_size() const override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace suture
