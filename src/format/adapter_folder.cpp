#include "format/adapter_folder.h"

#include <array>
#include <system_error>

#include "suture/error.h"

#include "format/hub_cache.h"
#include "format/model_folder.h"

namespace suture::format {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "adapter_config.json";
constexpr std::array kWeights{"adapter_model.safetensors", "adapter_model.bin"};

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

bool has_model_weights(const fs::path& folder) {
  try {
    find_weights(folder);
    return true;
  } catch (const UsageError&) {
    return false;
  }
}

AdapterFiles adapter_in(const fs::path& folder, const std::string& weights,
                        const std::string& name) {
  return {folder, resolve_inside(folder, kConfig), resolve_inside(folder, weights), name};
}

std::string own_name(const fs::path& folder) { return fs::canonical(folder).filename().string(); }

std::optional<AdapterFiles> adapter_of_folder(const fs::path& folder, const std::string& name) {
  if (!is_there(folder / kConfig) || has_model_weights(folder)) return std::nullopt;
  for (const char* weights : kWeights) {
    if (is_there(folder / weights)) return adapter_in(folder, weights, name);
  }
  throw UsageError({folder.string(),
                    {},
                    "an adapter_config.json and no weights",
                    "adapter_model.safetensors or adapter_model.bin",
                    "download or save the adapter again"});
}

std::optional<AdapterFiles> adapter_of_file(const fs::path& file) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  for (const char* weights : kWeights) {
    if (file.filename() == weights && is_there(folder / kConfig))
      return adapter_in(folder, weights, own_name(folder));
  }
  return std::nullopt;
}

}  // namespace

std::optional<AdapterFiles> find_adapter(const std::string& location) {
  if (location.empty() || location.find('\0') != std::string::npos) return std::nullopt;
  const fs::path path = location;
  std::error_code error;
  if (fs::is_directory(path, error)) return adapter_of_folder(path, own_name(path));
  if (is_there(path) || !looks_like_hub_name(location)) return adapter_of_file(path);
  try {
    const CachedModel cached = find_in_hub_cache(hub_cache_root(), location);
    return adapter_of_folder(cached.snapshot, cached.name);
  } catch (const UsageError&) {
    return std::nullopt;  // whoever opens it as a model says what is wrong
  }
}

}  // namespace suture::format
