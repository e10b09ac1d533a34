#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace suture::format {

/// Objects are sorted maps; the ordered kind looks keys up linearly, too slow for a vocabulary.
using Json = nlohmann::json;

/// The longest string, number or word in JSON: the parser copies a token several times.
inline constexpr std::size_t kMaxJsonTokenBytes = 32u << 20;

/// Keys that one object may have.
inline constexpr std::size_t kMaxJsonKeys = 1'000'000;

/// Parses untrusted JSON more strictly than the parser underneath: no byte-order mark, no NUL, no
/// token over `kMaxJsonTokenBytes`, no duplicate key, at most 64 levels and `max_keys` keys in one
/// object. `file` names the source in errors. Throws FormatError.
Json parse_json(std::string_view text, const std::string& file,
                std::size_t max_keys = kMaxJsonKeys);

/// `parse_json` of a file of at most `limit_bytes`.
Json read_json_file(const std::filesystem::path& path, std::uint64_t limit_bytes,
                    std::size_t max_keys = kMaxJsonKeys);

/// What the parser says, shortened: it quotes the token it was at, which a hostile file can make as
/// long as itself.
std::string reason_of(const nlohmann::json::exception& error);

/// Throws FormatError for what no JSON file of a model may hold: a byte-order mark, a NUL byte or a
/// token over `kMaxJsonTokenBytes`. Takes no memory.
void refuse_odd_text(std::string_view text, const std::string& file);

}  // namespace suture::format
