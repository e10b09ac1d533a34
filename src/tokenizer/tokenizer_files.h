#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "format/json.h"

namespace suture {

/// `tokenizer.json` of a model folder, of `org/name[@revision]` in the local Hugging Face cache, or
/// the file itself. Throws UsageError when there is none, saying how to make one of what is there.
std::filesystem::path find_tokenizer_json(const std::string& location);

/// Member `key` of `tokenizer_config.json` in `folder`, which is a token: its text, or the
/// `content` of an object. Nothing when there is no file, or it has none. Throws FormatError.
std::optional<std::string> configured_token(const std::filesystem::path& folder,
                                            const std::string& key);

/// Member `key` of `generation_config.json`, else of `config.json`: an id, or the first of a list.
std::optional<std::int64_t> configured_id(const std::filesystem::path& folder,
                                          const std::string& key);

/// A JSON file of `folder`; null when there is none.
format::Json read_side_json(const std::filesystem::path& folder, const std::string& name);

}  // namespace suture
