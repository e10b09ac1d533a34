#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace suture::format {

/// A model found in the local Hugging Face cache.
struct CachedModel {
  std::filesystem::path snapshot;  ///< `.../models--org--name/snapshots/COMMIT`.
  std::string name;                ///< `org/name@COMMIT`.
};

/// The cache's root, as the hub's own library finds it: $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE,
/// $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub. Empty when none is set.
std::filesystem::path hub_cache_root();

/// True for text shaped like `org/name` or `org/name@revision`.
bool looks_like_hub_name(const std::string& text);

/// Finds `org/name[@revision]` (default revision: main) under `root`. Throws UsageError with the
/// command that downloads it when it is not there; never downloads.
CachedModel find_in_hub_cache(const std::filesystem::path& root, const std::string& name);

/// The folder that files of `folder` may link into: the repository's folder for a cache snapshot
/// (its files are links to blobs), the folder itself otherwise. Canonical.
std::filesystem::path link_boundary(const std::filesystem::path& folder);

}  // namespace suture::format
