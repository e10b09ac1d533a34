#pragma once

#include <string>
#include <string_view>

namespace suture::evaluation {

/// SHA-256 as 64 hexadecimal digits. For small texts whose hash other programs know; digests of our
/// own are XXH3.
std::string sha256_hex(std::string_view text);

}  // namespace suture::evaluation
