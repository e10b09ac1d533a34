#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

namespace suture::format {

/// Writes a pickle of protocol 2 value by value, with the opcodes that Python's own pickler would
/// take. Texts and globals that were written before are recalled. A value is put on the unpickler's
/// stack; the functions that make one of several take them off it.
class PickleWriter {
 public:
  PickleWriter();

  void add_bool(bool value);
  void add_integer(std::int64_t value);
  void add_text(std::string_view utf8);  ///< Shorter than 4 GiB.
  void add_global(std::string_view module, std::string_view name);
  void add_integers(std::span<const std::int64_t> values);  ///< A tuple.
  void add_empty_tuple();

  /// What is added from here on belongs together, until one of the two functions below ends it.
  void begin_group();
  /// Makes a tuple of over three values of the group.
  void end_tuple();
  /// Puts the group's values, a key and a value in turn, into the dictionary before it.
  void end_items();
  /// Puts the last two values, a key and its value, into the dictionary before them.
  void set_item();

  /// Replaces a global and a tuple by what the global makes of it.
  void call();
  /// Replaces a value by what stands outside the pickle under it.
  void refer_outside();

  /// Ends the pickle, with the last value as its result.
  std::string finish();

 private:
  void remember();
  bool recall(const std::string& key);

  std::string bytes_;
  std::uint32_t remembered_ = 0;
  std::unordered_map<std::string, std::uint32_t> memo_;  // By opcode and text.
};

}  // namespace suture::format
