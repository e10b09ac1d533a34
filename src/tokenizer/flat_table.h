#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace suture {

/// A hash table from a 64-bit key to a value, made once and looked up often: one flat array, linear
/// probing, at most half full. The key of all ones is not allowed.
template <class Value>
class FlatTable {
 public:
  explicit FlatTable(std::size_t expected = 0) { resize(expected); }

  /// Adds the key, or replaces its value.
  void set(std::uint64_t key, const Value& value) {
    if (2 * (count_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[place_of(key)];
    if (slot.key == kFree) ++count_;
    slot = {key, value};
  }

  /// The key's value, or null.
  const Value* find(std::uint64_t key) const {
    const Slot& slot = slots_[place_of(key)];
    return slot.key == kFree ? nullptr : &slot.value;
  }

 private:
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = kFree;
    Value value{};
  };

  std::size_t place_of(std::uint64_t key) const {
    std::uint64_t hash = key * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    std::size_t at = static_cast<std::size_t>(hash) & (slots_.size() - 1);
    while (slots_[at].key != kFree && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  void resize(std::size_t expected) {
    std::size_t size = 16;
    while (size < 2 * expected) size *= 2;
    slots_.assign(size, {});
    count_ = 0;
  }

  void grow() {
    std::vector<Slot> old = std::move(slots_);
    resize(old.size());
    for (const Slot& slot : old) {
      if (slot.key != kFree) set(slot.key, slot.value);
    }
  }

  std::vector<Slot> slots_;
  std::size_t count_ = 0;
};

/// The key of two 32-bit numbers.
inline std::uint64_t pair_key(std::uint32_t first, std::uint32_t second) {
  return std::uint64_t{first} << 32 | second;
}

}  // namespace suture
