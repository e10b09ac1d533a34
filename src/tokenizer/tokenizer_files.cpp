#include "tokenizer/tokenizer_files.h"

#include <system_error>

#include "suture/error.h"

#include "format/hub_cache.h"
#include "format/model_folder.h"

namespace suture {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxSideFileBytes = 16 << 20;

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

fs::path in_folder(const fs::path& folder, const std::string& name) {
  if (is_there(folder / "tokenizer.json")) return format::resolve_inside(folder, "tokenizer.json");
  const bool has_older = is_there(folder / "tokenizer.model") || is_there(folder / "vocab.json");
  throw UsageError({name,
                    {},
                    "no tokenizer.json",
                    {},
                    has_older ? "make one of the older files with transformers: "
                                "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
                              : "copy it from the model that this one was made of"});
}

}  // namespace

fs::path find_tokenizer_json(const std::string& location) {
  std::error_code error;
  const fs::path path(location);
  if (fs::is_directory(path, error)) return in_folder(path, location);
  if (is_there(path) || !format::looks_like_hub_name(location)) {
    if (is_there(path) && path.extension() != ".json") {
      throw UsageError({location,
                        {},
                        "not a tokenizer.json",
                        {},
                        "name the model's folder, or its tokenizer.json"});
    }
    return path;
  }
  const format::CachedModel cached = format::find_in_hub_cache(format::hub_cache_root(), location);
  return in_folder(cached.snapshot, cached.name);
}

format::Json read_side_json(const fs::path& folder, const std::string& name) {
  if (!is_there(folder / name)) return nullptr;
  format::Json json =
      format::read_json_file(format::resolve_inside(folder, name), kMaxSideFileBytes);
  if (!json.is_object()) {
    throw FormatError(
        {(folder / name).string(), {}, std::string("a ") + json.type_name(), "an object", {}});
  }
  return json;
}

std::optional<std::string> configured_token(const fs::path& folder, const std::string& key) {
  const format::Json config = read_side_json(folder, "tokenizer_config.json");
  if (!config.is_object() || !config.contains(key) || config[key].is_null()) return std::nullopt;
  const format::Json& token = config[key];
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string())
    return token["content"].get<std::string>();
  throw FormatError({(folder / "tokenizer_config.json").string(),
                     {},
                     "'" + key + "' is " + printable(token.dump()),
                     "a token's text",
                     {}});
}

std::optional<std::int64_t> configured_id(const fs::path& folder, const std::string& key) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    const format::Json config = read_side_json(folder, name);
    if (!config.is_object() || !config.contains(key)) continue;
    const format::Json& id =
        config[key].is_array() && !config[key].empty() ? config[key][0] : config[key];
    if (id.is_number_unsigned()) return id.get<std::int64_t>();
  }
  return std::nullopt;
}

}  // namespace suture
