#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>

namespace miniature {

/// Random choices that are the same with every standard library, which its distributions are not.
class Random {
 public:
  /// A sequence of its own for each purpose.
  Random(std::uint64_t seed, std::string_view purpose) : engine_(mixed(seed, purpose)) {}

  /// From 0 to `end - 1`, all as likely (to 2^-50).
  int below(int end) { return static_cast<int>(unit() * end); }

  /// At least 0, less than 1.
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

  bool chance(double probability) { return unit() < probability; }

  std::uint64_t bits() { return engine_(); }

 private:
  // FNV-1a, so that near seeds and purposes start far apart.
  static std::uint64_t mixed(std::uint64_t seed, std::string_view purpose) {
    std::uint64_t hash = 0xcbf29ce484222325U ^ seed;
    for (const char c : purpose) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return hash;
  }

  std::mt19937_64 engine_;
};

}  // namespace miniature
