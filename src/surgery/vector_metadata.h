#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "suture/checkpoint.h"

#include "surgery/kinship.h"

namespace suture {

/// A model that went into a stored vector.
struct Donor {
  std::string role;    ///< `tuned` or `base`; `term 1`, ... in longer formulas.
  std::string name;    ///< The folder's or the repository's name.
  std::string digest;  ///< Of the tensors used: 32 hexadecimal digits.
};

/// What a tensor that is stored sparse (surgery/sparse_tensor.h) would be if it were dense.
struct SparseTensor {
  Dtype dtype = Dtype::kF32;
  std::vector<std::int64_t> shape;
};

/// What a stored vector knows about itself: the `suture` key of its safetensors metadata.
struct VectorMetadata {
  std::string formula;
  std::vector<Donor> donors;
  std::string architecture;
  bool tied_embeddings = false;
  std::map<std::string, std::string> structure, meaning;  ///< As in ModelConfig.
  std::string tokenizer_digest;                           ///< Empty when the donors had none.
  std::map<std::string, double> base_norms;               ///< L2 norm of the base, by tensor.
  WeightSample base_sample;                               ///< For kinship with a target.
  std::vector<std::string> left_out;                      ///< Donor tensors that are no part of it.
  /// How the names of the tuned model were read as those of the base, which the vector has; empty
  /// where they agreed.
  std::vector<std::string> names;
  std::map<std::string, SparseTensor> sparse;  ///< By name; the others are dense.
};

/// The metadata as the text of the `suture` key, and back. Throws FormatError naming `file`.
std::string encode(const VectorMetadata& metadata);
VectorMetadata decode_vector_metadata(const std::string& text, const std::string& file);

/// A norm that takes as much room in the text as any does.
inline constexpr double kLongestNorm = 1.2345678901234567e-100;

/// True when the checkpoint is a stored vector.
bool is_vector(const Checkpoint& checkpoint);

/// Its metadata. Throws UsageError when it is a model, FormatError when the metadata is damaged.
VectorMetadata require_vector(const Checkpoint& checkpoint);

/// Throws UsageError when it is a vector, where a model is `expected`.
void require_model(const Checkpoint& checkpoint, const std::string& expected,
                   const std::string& remedy = {});

}  // namespace suture
