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

  /// A model that was moved from may only be destroyed or assigned to.
  LanguageModel(LanguageModel&&) noexcept;
  /// As the constructor.
  LanguageModel& operator=(LanguageModel&&) noexcept;
  ~LanguageModel() override;

  /// What was read and counted when the model was opened. Computes nothing.
  LanguageModelInfo info() const;

  /// The weights, shared with the model.
  const StateDict& weights() const;

  /// Scores of every token of the vocabulary behind every token: `token_ids` int64
  /// [batch, length] gives f32 [batch, length, vocab_size] on the model's device. Throws UsageError
  /// for another shape or dtype, for more tokens than `max_length()`, and for an id outside the
  /// vocabulary.
  at::Tensor logits(const at::Tensor& token_ids) const;

  /// As `CausalModel::score`. Cost: what requests share is fed once: tokens that all begin with,
  /// then each context, then its continuations; keys and values of a batch take up to 256 MiB.
  /// Throws also UsageError for an empty context or continuation and for an id outside the
  /// vocabulary, and Interrupted.
  std::vector<ContinuationScore> score(const std::vector<ScoringRequest>& requests,
                                       const ModelRun& run = {}) override;
  /// As `CausalModel::generate`. Cost: one pass over each prompt and one step per new token, with
  /// keys and values kept (`cache_token_bytes` a token). Throws also UsageError for an empty prompt
  /// and for an id outside the vocabulary, and Interrupted.
  std::vector<Generation> generate(const std::vector<GenerationRequest>& requests,
                                   const ModelRun& run = {}) override;
  /// `max_position_embeddings` of its config.
  std::int64_t max_length() const override;
  /// Rows of the embedding: smaller ids may be fed, also those that no token has.
  std::int64_t vocab_size() const override;

 private:
  // Not told here, so that this header stays free of the engine.
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace suture
