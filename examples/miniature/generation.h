#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "suture/tokenizer.h"

#include "transformer.h"

namespace miniature {

/// Completions of prompts of the same length, each up to its end token: sampled at temperature 1
/// with a generator, greedy without one.
std::vector<std::vector<std::int64_t>> complete(const Transformer& model, const at::Tensor& prompts,
                                                std::int64_t end_token,
                                                at::Generator* generator = nullptr);

/// What stands behind the `#` of a completion; empty where there is none.
std::string answer_of(const std::string& completion);

}  // namespace miniature
