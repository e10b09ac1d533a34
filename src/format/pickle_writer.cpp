#include "format/pickle_writer.h"

#include <bit>
#include <limits>
#include <utility>

#include "format/little_endian.h"

namespace suture::format {

PickleWriter::PickleWriter() : bytes_("\x80\x02") {}

void PickleWriter::add_bool(bool value) { bytes_ += value ? '\x88' : '\x89'; }

// The shortest of Python's forms: one or two bytes without a sign, four with one, or any number.
void PickleWriter::add_integer(std::int64_t value) {
  const bool is_int = value >= std::numeric_limits<std::int32_t>::min() &&
                      value <= std::numeric_limits<std::int32_t>::max();
  if (value >= 0 && value <= 0xFFFF) {
    bytes_ += value <= 0xFF ? 'K' : 'M';
    return append_little_endian(bytes_, static_cast<std::uint64_t>(value), value <= 0xFF ? 1 : 2);
  }
  const auto bits = static_cast<std::uint64_t>(value);
  if (is_int) {
    bytes_ += 'J';
    return append_little_endian(bytes_, bits, 4);
  }
  const auto width = static_cast<int>(std::bit_width(value < 0 ? ~bits : bits));
  const int bytes = width / 8 + 1;
  bytes_ += '\x8a';
  bytes_ += static_cast<char>(bytes);
  append_little_endian(bytes_, bits, bytes);
}

void PickleWriter::add_text(std::string_view utf8) {
  const std::string key = "X" + std::string(utf8);
  if (recall(key)) return;
  bytes_ += 'X';
  append_little_endian(bytes_, utf8.size(), 4);
  bytes_ += utf8;
  memo_.emplace(key, remembered_);
  remember();
}

void PickleWriter::add_global(std::string_view module, std::string_view name) {
  const std::string text = "c" + std::string(module) + "\n" + std::string(name) + "\n";
  if (recall(text)) return;
  bytes_ += text;
  memo_.emplace(text, remembered_);
  remember();
}

void PickleWriter::add_integers(std::span<const std::int64_t> values) {
  if (values.empty()) return add_empty_tuple();
  const bool is_long = values.size() > 3;
  if (is_long) begin_group();
  for (const std::int64_t value : values) add_integer(value);
  if (is_long) return end_tuple();
  bytes_ += static_cast<char>('\x84' + values.size());
  remember();
}

void PickleWriter::add_empty_tuple() { bytes_ += ')'; }

void PickleWriter::begin_group() { bytes_ += '('; }

void PickleWriter::end_tuple() {
  bytes_ += 't';
  remember();
}

void PickleWriter::end_items() { bytes_ += 'u'; }

void PickleWriter::set_item() { bytes_ += 's'; }

void PickleWriter::call() {
  bytes_ += 'R';
  remember();
}

void PickleWriter::refer_outside() { bytes_ += 'Q'; }

std::string PickleWriter::finish() {
  bytes_ += '.';
  return std::move(bytes_);
}

// Python's pickler numbers whatever could be met again, met again or not.
void PickleWriter::remember() {
  bytes_ += remembered_ <= 0xFF ? 'q' : 'r';
  append_little_endian(bytes_, remembered_, remembered_ <= 0xFF ? 1 : 4);
  ++remembered_;
}

bool PickleWriter::recall(const std::string& key) {
  const auto found = memo_.find(key);
  if (found == memo_.end()) return false;
  bytes_ += found->second <= 0xFF ? 'h' : 'j';
  append_little_endian(bytes_, found->second, found->second <= 0xFF ? 1 : 4);
  return true;
}

}  // namespace suture::format
