#include "format/hub_cache.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "suture/error.h"

#include "format/file.h"

namespace suture::format {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxRefBytes = 4096;
constexpr std::size_t kMaxNamePartBytes = 96;
constexpr std::size_t kMaxRevisionBytes = 250;
constexpr std::string_view kAlphanumeric =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fs::path from_environment(const char* variable, const char* below = "") {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0' ? fs::path(value) / below : fs::path();
}

bool is_commit(const std::string& text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// The `org` or the `name` of `org/name`.
bool is_name_part(std::string_view text) {
  const auto is_allowed = [](char c) {
    return c == '.' || c == '_' || c == '-' || kAlphanumeric.find(c) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= kMaxNamePartBytes &&
         kAlphanumeric.find(text.front()) != std::string_view::npos &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

// A revision is a path below refs/; it may be nested (refs/pr/1) but never climb.
bool is_safe_revision(const std::string& revision) {
  const fs::path path(revision);
  return !revision.empty() && path.is_relative() &&
         std::none_of(path.begin(), path.end(),
                      [](const fs::path& part) { return part == ".." || part == "."; });
}

std::string read_commit(const fs::path& ref) {
  std::string text = read_small_file(ref, kMaxRefBytes);
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  if (!is_commit(text)) {
    throw FormatError({ref.string(),
                       {},
                       "'" + printable(text) + "'",
                       "a commit of 40 hexadecimal digits",
                       "download the model again"});
  }
  return text;
}

}  // namespace

fs::path hub_cache_root() {
  for (const fs::path& root :
       {from_environment("HF_HUB_CACHE"), from_environment("HUGGINGFACE_HUB_CACHE"),
        from_environment("HF_HOME", "hub"), from_environment("XDG_CACHE_HOME", "huggingface/hub"),
        from_environment("HOME", ".cache/huggingface/hub")}) {
    if (!root.empty()) return root;
  }
  return {};
}

bool looks_like_hub_name(const std::string& text) {
  const std::string_view whole = text;
  const auto at = whole.find('@');
  const std::string_view repository = whole.substr(0, at);
  const auto slash = repository.find('/');
  if (slash == std::string_view::npos || !is_name_part(repository.substr(0, slash)) ||
      !is_name_part(repository.substr(slash + 1))) {
    return false;
  }
  if (at == std::string_view::npos) return true;
  const std::string_view revision = whole.substr(at + 1);
  return !revision.empty() && revision.size() <= kMaxRevisionBytes &&
         revision.find('@') == std::string_view::npos;
}

CachedModel find_in_hub_cache(const fs::path& root, const std::string& name) {
  const auto at = name.find('@');
  const std::string repository = name.substr(0, at);
  const std::string revision = at == std::string::npos ? "main" : name.substr(at + 1);
  const auto absent = [&](const std::string& found) {
    std::string download = "hf download " + repository;
    if (at != std::string::npos) download += " --revision " + revision;
    throw UsageError(
        {name, {}, found, {}, "Suture never downloads; fetch it with `" + download + "`"});
  };
  if (!is_safe_revision(revision))
    throw UsageError({name, {}, "not a revision: '" + revision + "'", {}, {}});
  if (root.empty()) absent("no such path, and no Hugging Face cache to look in");

  std::string folder_name = "models--" + repository;
  folder_name.replace(folder_name.find('/'), 1, "--");
  const fs::path folder = root / folder_name;
  std::error_code error;
  if (!fs::is_directory(folder, error)) absent("no such path, and not in the Hugging Face cache");

  std::string commit = revision;
  if (!is_commit(revision)) {
    const fs::path ref = folder / "refs" / revision;
    if (!fs::exists(ref, error)) absent("the cache holds no revision '" + revision + "'");
    commit = read_commit(ref);
  }
  const fs::path snapshot = folder / "snapshots" / commit;
  if (!fs::is_directory(snapshot, error)) absent("the cache holds no files of revision " + commit);
  return {snapshot, repository + "@" + commit};
}

fs::path link_boundary(const fs::path& folder) {
  const fs::path real = fs::canonical(folder);
  const fs::path repository = real.parent_path().parent_path();
  const bool is_snapshot = real.parent_path().filename() == "snapshots" &&
                           repository.filename().string().rfind("models--", 0) == 0;
  return is_snapshot ? repository : real;
}

}  // namespace suture::format
