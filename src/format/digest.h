#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace suture::format {

/// A 128-bit content digest (XXH3). It tells two contents apart; it does not resist forgery. Chosen
/// over SHA-256 because surgery runs at the speed of a copy and a cryptographic hash does not.
struct Digest {
  std::uint64_t high = 0, low = 0;
  bool operator==(const Digest& other) const { return high == other.high && low == other.low; }
};

/// 32 hexadecimal digits, as `xxhsum -H2` prints them.
std::string to_hex(const Digest& digest);

/// The digest of one block of bytes.
Digest digest_of(const void* data, std::size_t bytes);
inline Digest digest_of(std::string_view text) { return digest_of(text.data(), text.size()); }

/// The digest of bytes that arrive in pieces; equal to `digest_of` of their concatenation.
class DigestStream {
 public:
  DigestStream();
  DigestStream(DigestStream&&) noexcept;
  DigestStream& operator=(DigestStream&&) noexcept;
  ~DigestStream();
  void update(std::string_view bytes);
  void update(const Digest& digest);
  Digest finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace suture::format
