#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace suture::format {

/// Where a PEFT adapter lies.
struct AdapterFiles {
  std::filesystem::path folder;
  std::filesystem::path config;   ///< `adapter_config.json`
  std::filesystem::path weights;  ///< `adapter_model.safetensors`, else `adapter_model.bin`.
  std::string name;               ///< The folder's own name, or `org/name@COMMIT`.
};

/// The adapter at `location`: a folder with an `adapter_config.json` and without a whole model's
/// weights, one in the local Hugging Face cache (`org/name[@revision]`), or the adapter's weight
/// file in any folder. Nothing when there is something else or nothing. Throws UsageError for an
/// adapter without weights, FormatError for links that leave the folder.
std::optional<AdapterFiles> find_adapter(const std::string& location);

}  // namespace suture::format
