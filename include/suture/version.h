#pragma once

namespace suture {

/// The library's version, as CMake knows it.
inline constexpr const char* kVersion = "0.1.0";

}  // namespace suture
