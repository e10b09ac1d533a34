#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace suture::format {

/// Objects are sorted maps; the ordered kind looks keys up linearly, too slow for a vocabulary.
using Json = nlohmann::json;

/// Parses untrusted JSON more strictly than the parser underneath: no byte-order mark, no NUL, no
/// duplicate key, at most 64 levels and 1,000,000 keys in one object. `file` names the source in
/// errors. Throws FormatError.
Json parse_json(std::string_view text, const std::string& file);

/// `parse_json` of a file of at most `limit_bytes`.
Json read_json_file(const std::filesystem::path& path, std::uint64_t limit_bytes);

/// What the parser says, shortened: it quotes the token it was at, which a hostile file can make as
/// long as itself.
std::string reason_of(const nlohmann::json::exception& error);

/// Throws FormatError for what no JSON file of a model may hold: a byte-order mark or a NUL byte.
void refuse_byte_order_mark_and_nul(std::string_view text, const std::string& file);

}  // namespace suture::format
