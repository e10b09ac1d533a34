#pragma once

#include <string>

#include "format/json.h"
#include "model/config_reader.h"
#include "model/decoder_config.h"

namespace suture::model {

/// One description per architecture: what its `config.json` says, and what it leaves to the
/// architecture, in terms of DecoderConfig. To add one, write its page in architectures/ and name
/// it in architectures.cpp.
DecoderConfig describe_llama(ConfigReader& config);
DecoderConfig describe_mistral(ConfigReader& config);
DecoderConfig describe_qwen2(ConfigReader& config);
DecoderConfig describe_qwen3(ConfigReader& config);

/// Describes the decoder of a `config.json`, called `file` in errors. Throws UsageError for an
/// architecture or setting that is not implemented, by its name, and FormatError for values that no
/// model can have.
DecoderConfig describe_decoder(const format::Json& config, const std::string& file,
                               bool ignore_unknown_settings);

/// What all of them share: sizes, norm, rope, tied head. Heads are as many keys and values as
/// queries, of `hidden_size / heads`, with full attention, unless the page says otherwise.
DecoderConfig read_common_settings(ConfigReader& config);

/// The window of every layer for models that slide behind a switch: `use_sliding_window` turns
/// `sliding_window` on, for the layers from `max_window_layers` on or those `layer_types` names.
std::vector<std::int64_t> read_switched_windows(ConfigReader& config, std::int64_t layers);

}  // namespace suture::model
