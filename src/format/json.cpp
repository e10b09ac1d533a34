#include "format/json.h"

#include <unordered_set>
#include <vector>

#include "suture/error.h"

#include "format/file.h"

namespace suture::format {
namespace {

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxKeys = 1'000'000;
constexpr std::size_t kMaxReasonBytes = 300;

// Watches the parse for what the DOM would silently swallow: duplicate keys, absurd depth and size.
class StrictnessCheck {
 public:
  explicit StrictnessCheck(const std::string& file) : file_(file) {}

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
    if (open_objects_.back().size() > kMaxKeys) {
      throw FormatError({file_, {}, "over 1,000,000 keys in one object", "fewer", {}});
    }
  }

  const std::string& file_;
  std::vector<std::unordered_set<std::string>> open_objects_;
};

}  // namespace

void refuse_byte_order_mark_and_nul(std::string_view text, const std::string& file) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    throw FormatError({file, {}, "a byte-order mark before the JSON", "plain UTF-8", {}});
  }
  if (const auto at = text.find('\0'); at != std::string_view::npos) {
    throw FormatError(
        {file, {}, "a NUL at byte " + std::to_string(at) + " of the JSON", "text", {}});
  }
}

std::string reason_of(const nlohmann::json::exception& error) {
  std::string_view text = error.what();  // "[json.exception.parse_error.101] parse error at ..."
  if (const auto tag = text.find("] "); tag != std::string_view::npos) text.remove_prefix(tag + 2);
  return std::string(text.substr(0, kMaxReasonBytes));
}

Json parse_json(std::string_view text, const std::string& file) {
  refuse_byte_order_mark_and_nul(text, file);
  try {
    return Json::parse(text.begin(), text.end(), StrictnessCheck(file));
  } catch (const nlohmann::json::exception& error) {
    throw FormatError({file, {}, "not valid JSON: " + reason_of(error), {}, {}});
  }
}

Json read_json_file(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  return parse_json(read_small_file(path, limit_bytes), path.string());
}

}  // namespace suture::format
