#pragma once

#include <filesystem>

#include "suture/state_dict.h"
#include "suture/tokenizer.h"

#include "transformer.h"

namespace miniature {

/// Writes `tokenizer.json` and `tokenizer_config.json`: a token for each printable character, and
/// one for each word and mark that the texts use.
void write_tokenizer(const std::filesystem::path& folder);

/// Writes a Hugging Face folder with the weights in bf16.
void write_model(const std::filesystem::path& folder, const Shape& shape,
                 const suture::StateDict& weights);

/// Whether such a folder is there in full.
bool is_written(const std::filesystem::path& folder);

/// The weights of such a folder, in f32.
suture::StateDict read_model(const std::filesystem::path& folder);

}  // namespace miniature
