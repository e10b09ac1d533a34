#include "format/digest.h"

#include <cstdio>

#include <xxhash.h>

namespace suture::format {
namespace {

Digest from_xxh(const XXH128_hash_t& hash) { return {hash.high64, hash.low64}; }

}  // namespace

struct DigestStream::State {
  XXH3_state_t xxh;
};

std::string to_hex(const Digest& digest) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(digest.high),
                static_cast<unsigned long long>(digest.low));
  return text;
}

Digest digest_of(const void* data, std::size_t bytes) {
  return from_xxh(XXH3_128bits(data, bytes));
}

DigestStream::DigestStream() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(&state_->xxh);
}
DigestStream::DigestStream(DigestStream&&) noexcept = default;
DigestStream& DigestStream::operator=(DigestStream&&) noexcept = default;
DigestStream::~DigestStream() = default;

void DigestStream::update(std::string_view bytes) {
  XXH3_128bits_update(&state_->xxh, bytes.data(), bytes.size());
}

void DigestStream::update(const Digest& digest) { update(to_hex(digest)); }

Digest DigestStream::finish() const { return from_xxh(XXH3_128bits_digest(&state_->xxh)); }

}  // namespace suture::format
