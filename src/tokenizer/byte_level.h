#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace suture {

/// The alphabet of byte-level vocabularies: each byte as one printable character, `Ġ` for a space.
/// Appends `bytes` in it.
void append_byte_level(std::string_view bytes, std::string& text);

/// The byte that a character of the alphabet stands for.
std::optional<char> byte_of(char32_t character);

}  // namespace suture
