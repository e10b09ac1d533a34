#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "suture/state_dict.h"

#include "model/activation_memo.h"
#include "model/decoder_config.h"
#include "model/key_value_cache.h"
#include "model/linear.h"
#include "model/rope.h"

namespace suture::model {

/// Weights of one layer.
struct DecoderLayer {
  at::Tensor input_norm, attention_norm;  ///< Before the attention, and before the feed-forward.
  at::Tensor query_norm, key_norm;        ///< Undefined without `query_key_norm`.
  LinearWeights query, key, value, output;
  LinearWeights gate, up, down;
};

/// Weights of a decoder by role, sharing the state dict's tensors.
struct DecoderWeights {
  at::Tensor embedding, norm;
  LinearWeights head;
  std::vector<DecoderLayer> layers;
};

/// Finds every tensor that `config` implies by the names that transformers gives them. Throws
/// FormatError, naming `model` and the tensor, for one that is missing, misshapen or not floating,
/// for one that nothing would use, and for a tied head that differs from its embedding.
DecoderWeights bind_weights(const DecoderConfig& config, const StateDict& weights,
                            const std::string& model);

/// A token of one call of `feed`.
struct FedToken {
  std::int64_t row, token;
  bool operator==(const FedToken& other) const { return row == other.row && token == other.token; }
};

/// The forward pass. Not synchronised.
class Decoder {
 public:
  /// Computes in the dtype and on the device of `options`.
  Decoder(DecoderConfig config, DecoderWeights weights, const at::TensorOptions& options,
          unsigned threads);

  const DecoderConfig& config() const { return config_; }
  const at::TensorOptions& options() const { return options_; }

  /// Feeds `token_ids`, int64 [rows, length], whose row i stands at positions `starts[i]` on,
  /// behind what `cache` holds of the row, and adds their keys and values to it. Gives the hidden
  /// states [asked.size(), hidden_size] of the tokens that are asked for, in their order, for
  /// `head`: in the last layer the others get no further than their keys and values. A row may be
  /// padded at its end with any token.
  /// Long rows go through in pieces of `kPieceTokens` tokens in all, which bounds the memory of
  /// activations. Lower layers are left out where `memo` holds what they would give; `cache` then
  /// lacks their keys and values, unless the memo's unit keeps them.
  at::Tensor feed(const at::Tensor& token_ids, const std::vector<std::int64_t>& starts,
                  KeyValueCache& cache, const std::vector<FedToken>& asked,
                  ActivationMemo* memo = nullptr);

  static constexpr std::int64_t kPieceTokens = 1024;

  /// From now on `feed` throws Interrupted, between two layers, when `cancel` is true; null for
  /// never.
  void watch(const std::atomic<bool>* cancel) { cancel_ = cancel; }

  /// Scores of the vocabulary, f32 [n, vocab_size], for hidden states [n, hidden_size].
  at::Tensor head(const at::Tensor& hidden);

 private:
  struct Step;
  at::Tensor feed_piece(const at::Tensor& token_ids, const std::vector<std::int64_t>& starts,
                        KeyValueCache& cache, const std::vector<FedToken>& asked,
                        ActivationMemo* memo);
  Step make_step(const at::Tensor& token_ids, const std::vector<std::int64_t>& starts,
                 KeyValueCache& cache);
  at::Tensor norm(const at::Tensor& hidden, const at::Tensor& weight) const;
  at::Tensor attention(const at::Tensor& hidden, std::size_t layer, Step& step);
  at::Tensor feed_forward(const at::Tensor& hidden, const DecoderLayer& layer);
  void require_rotations(std::int64_t length);

  DecoderConfig config_;
  DecoderWeights weights_;
  at::TensorOptions options_;
  LinearEngine linear_;
  RotationTable rotations_;
  const std::atomic<bool>* cancel_ = nullptr;
};

}  // namespace suture::model
