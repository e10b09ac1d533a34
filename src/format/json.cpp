#include "format/json.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "suture/error.h"

#include "format/file.h"

namespace suture::format {
namespace {

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxReasonBytes = 300;

// Watches the parse for what the DOM would silently swallow: duplicate keys, absurd depth and size.
class StrictnessCheck {
 public:
  StrictnessCheck(const std::string& file, std::size_t max_keys)
      : file_(file), max_keys_(max_keys) {}

  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && static_cast<std::size_t>(depth) >= kMaxDepth) {
      throw FormatError({file_, {}, "JSON nested over 64 levels deep", {}, {}});
    }
    if (event == Event::object_start) open_objects_.emplace_back();
    if (event == Event::object_end) open_objects_.pop_back();
    if (event == Event::key) check_key(parsed.get_ref<const std::string&>());
    return true;
  }

 private:
  void check_key(const std::string& key) {
    if (!open_objects_.back().insert(key).second) {
      throw FormatError(
          {file_, {}, "key '" + printable(key) + "' twice in one object", "each key once", {}});
    }
    if (open_objects_.back().size() > max_keys_) {
      throw FormatError(
          {file_, {}, "over " + std::to_string(max_keys_) + " keys in one object", "fewer", {}});
    }
  }

  const std::string& file_;
  std::size_t max_keys_;
  std::vector<std::unordered_set<std::string>> open_objects_;
};

bool is_between_tokens(char c) {
  return c == ',' || c == ':' || c == '[' || c == ']' || c == '{' || c == '}' || c == ' ' ||
         c == '\n' || c == '\r' || c == '\t';
}

// The end of the token at `begin`: a string with its quotes, or whatever else is not between
// tokens.
std::size_t end_of_token(std::string_view text, std::size_t begin) {
  std::size_t at = begin + 1;
  if (text[begin] != '"') {
    while (at < text.size() && text[at] != '"' && !is_between_tokens(text[at])) ++at;
    return at;
  }
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  return std::min(at + 1, text.size());
}

void refuse_long_tokens(std::string_view text, const std::string& file) {
  if (text.size() <= kMaxJsonTokenBytes) return;
  for (std::size_t at = 0; at < text.size();) {
    if (is_between_tokens(text[at])) {
      ++at;
      continue;
    }
    const std::size_t end = end_of_token(text, at);
    if (end - at > kMaxJsonTokenBytes) {
      throw FormatError({file,
                         {},
                         std::to_string(end - at) + " bytes in one string or number of the JSON",
                         "at most " + std::to_string(kMaxJsonTokenBytes),
                         {}});
    }
    at = end;
  }
}

}  // namespace

void refuse_odd_text(std::string_view text, const std::string& file) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    throw FormatError({file, {}, "a byte-order mark before the JSON", "plain UTF-8", {}});
  }
  if (const auto at = text.find('\0'); at != std::string_view::npos) {
    throw FormatError(
        {file, {}, "a NUL at byte " + std::to_string(at) + " of the JSON", "text", {}});
  }
  refuse_long_tokens(text, file);
}

std::string reason_of(const nlohmann::json::exception& error) {
  std::string_view text = error.what();  // "[json.exception.parse_error.101] parse error at ..."
  if (const auto tag = text.find("] "); tag != std::string_view::npos) text.remove_prefix(tag + 2);
  return std::string(text.substr(0, kMaxReasonBytes));
}

Json parse_json(std::string_view text, const std::string& file, std::size_t max_keys) {
  refuse_odd_text(text, file);
  try {
    return Json::parse(text.begin(), text.end(), StrictnessCheck(file, max_keys));
  } catch (const nlohmann::json::exception& error) {
    throw FormatError({file, {}, "not valid JSON: " + reason_of(error), {}, {}});
  }
}

Json read_json_file(const std::filesystem::path& path, std::uint64_t limit_bytes,
                    std::size_t max_keys) {
  return parse_json(read_small_file(path, limit_bytes), path.string(), max_keys);
}

}  // namespace suture::format
