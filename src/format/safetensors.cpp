#include "format/safetensors.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_set>

#include "suture/error.h"

#include "format/json.h"
#include "format/safetensors_sniff.h"

namespace suture::format {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::size_t kMaxRank = 64;
constexpr std::size_t kMaxTensors = 2'000'000;

// One tensor's entry as the header states it, before it is believed.
struct Entry {
  std::string name;
  std::optional<Dtype> dtype;
  std::optional<std::vector<std::uint64_t>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;
};

// Builds entries straight from the parser's events: a 100 MB header must not become a 1 GB tree.
class HeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderHandler(const std::string& file) : file_(file) {}

  std::vector<Entry> take_entries() { return std::move(entries_); }
  std::map<std::string, std::string> take_metadata() { return std::move(metadata_); }

  bool null() override {
    if (state_ == State::kTop && key_ == kMetadataKey) return true;
    return scalar("null");
  }
  bool boolean(bool) override { return scalar("a boolean"); }
  bool number_integer(number_integer_t value) override {
    return scalar("the negative number " + std::to_string(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (state_ != State::kNumbers) return scalar("a number");
    if (numbers_->size() > kMaxRank)
      fail("more than 64 numbers", "shapes of at most 64 dimensions");
    numbers_->push_back(value);
    return true;
  }
  bool number_float(number_float_t, const string_t& text) override {
    return scalar("the number " + printable(text));
  }
  bool string(string_t& value) override;
  bool binary(binary_t&) override { return scalar("binary data"); }
  bool start_object(std::size_t) override;
  bool key(string_t& value) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception& error) override {
    fail("header is not valid JSON at byte " + std::to_string(position) + ": " + reason_of(error),
         {});
  }

 private:
  enum class State { kStart, kTop, kMetadata, kTensor, kNumbers, kIgnored };
  static constexpr std::size_t kMaxIgnoredDepth = 64;

  [[noreturn]] void fail(std::string found, std::string expected) const {
    const bool in_tensor =
        state_ == State::kTensor || state_ == State::kNumbers || state_ == State::kIgnored;
    throw FormatError(
        {file_, in_tensor ? entries_.back().name : "", std::move(found), std::move(expected), {}});
  }

  // A value that is neither container nor handled above: wrong everywhere but in ignored fields.
  bool scalar(const std::string& what) {
    if (state_ == State::kIgnored || (state_ == State::kTensor && !is_known_field())) return true;
    fail(what + place(), wanted());
  }

  std::string place() const {
    switch (state_) {
      case State::kStart:
        return " as the header";
      case State::kTop:
        return " as the entry '" + printable(key_) + "'";
      case State::kMetadata:
        return " as the value of __metadata__ key '" + printable(key_) + "'";
      default:
        return " in '" + printable(key_) + "'";
    }
  }
  std::string wanted() const {
    switch (state_) {
      case State::kMetadata:
        return "a string";
      case State::kNumbers:
        return "whole numbers from 0 on";
      case State::kTensor:
        return key_ == "dtype" ? "a string" : "an array";
      default:
        return "an object";
    }
  }
  bool is_known_field() const {
    return key_ == "dtype" || key_ == "shape" || key_ == "data_offsets";
  }
  bool enter_ignored() {
    state_ = State::kIgnored;
    if (++ignored_depth_ > kMaxIgnoredDepth) fail("header nested over 64 levels deep", {});
    return true;
  }
  bool leave_ignored() {
    if (--ignored_depth_ == 0) state_ = State::kTensor;
    return true;
  }
  void begin_tensor();
  std::vector<std::uint64_t>& fresh(std::optional<std::vector<std::uint64_t>>& field);

  const std::string& file_;
  State state_ = State::kStart;
  std::string key_;
  std::size_t ignored_depth_ = 0;
  std::vector<std::uint64_t>* numbers_ = nullptr;
  bool saw_metadata_ = false;
  std::vector<Entry> entries_;
  std::unordered_set<std::string> names_;
  std::map<std::string, std::string> metadata_;
};

bool HeaderHandler::string(string_t& value) {
  if (state_ == State::kMetadata) {
    if (!metadata_.emplace(key_, std::move(value)).second) {
      fail("__metadata__ key '" + printable(key_) + "' twice", "each key once");
    }
    return true;
  }
  if (state_ != State::kTensor || key_ != "dtype") return scalar("a string");
  Entry& entry = entries_.back();
  if (entry.dtype) fail("'dtype' twice", "each field once");
  entry.dtype = dtype_from_name(value);
  if (!entry.dtype)
    fail("unknown dtype '" + printable(value) + "'", "one of BOOL, U8, ..., F16, BF16, F32, F64");
  return true;
}

bool HeaderHandler::start_object(std::size_t) {
  switch (state_) {
    case State::kStart:
      state_ = State::kTop;
      return true;
    case State::kTop:
      if (key_ == kMetadataKey) {
        state_ = State::kMetadata;
      } else {
        begin_tensor();
      }
      return true;
    case State::kIgnored:
      return enter_ignored();
    case State::kTensor:
      if (!is_known_field()) return enter_ignored();
      [[fallthrough]];
    default:
      return scalar("an object");
  }
}

void HeaderHandler::begin_tensor() {
  if (key_.empty()) fail("a tensor without a name", "a name");
  if (!names_.insert(key_).second) fail("tensor '" + printable(key_) + "' twice", "each name once");
  if (entries_.size() >= kMaxTensors) fail("over 2,000,000 tensors", "fewer");
  entries_.push_back({key_, {}, {}, {}});
  state_ = State::kTensor;
}

bool HeaderHandler::key(string_t& value) {
  key_ = std::move(value);
  if (state_ == State::kTop && key_ == kMetadataKey) {
    if (saw_metadata_) fail("__metadata__ twice", "it once");
    saw_metadata_ = true;
  }
  return true;
}

bool HeaderHandler::end_object() {
  if (state_ == State::kIgnored) return leave_ignored();
  state_ = State::kTop;
  return true;
}

std::vector<std::uint64_t>& HeaderHandler::fresh(std::optional<std::vector<std::uint64_t>>& field) {
  if (field) fail("'" + key_ + "' twice", "each field once");
  return field.emplace();
}

bool HeaderHandler::start_array(std::size_t) {
  if (state_ == State::kIgnored || (state_ == State::kTensor && !is_known_field())) {
    return enter_ignored();
  }
  if (state_ != State::kTensor || key_ == "dtype") return scalar("an array");
  Entry& entry = entries_.back();
  numbers_ = &fresh(key_ == "shape" ? entry.shape : entry.offsets);
  state_ = State::kNumbers;
  return true;
}

bool HeaderHandler::end_array() {
  if (state_ == State::kIgnored) return leave_ignored();
  state_ = State::kTensor;
  return true;
}

// Turns a stated entry into a TensorInfo, or throws. `offset` stays relative to the data.
class EntryCheck {
 public:
  explicit EntryCheck(const std::string& file) : file_(file) {}

  TensorInfo operator()(Entry&& entry) const {
    require_fields(entry);
    TensorInfo info;
    info.dtype = *entry.dtype;
    info.elements = element_count(entry);
    info.bytes = byte_count(entry, info.elements);
    info.shape.assign(entry.shape->begin(), entry.shape->end());
    const std::uint64_t begin = (*entry.offsets)[0], end = (*entry.offsets)[1];
    if (end < begin)
      fail(entry,
           "data_offsets end " + std::to_string(end) + " before their begin " +
               std::to_string(begin),
           {});
    if (end - begin != info.bytes) {
      fail(entry, std::to_string(end - begin) + " bytes of data",
           std::to_string(info.bytes) + " for " + std::string(name_of(info.dtype)) + " " +
               to_string(info.shape));
    }
    info.offset = begin;
    info.name = std::move(entry.name);
    return info;
  }

 private:
  [[noreturn]] void fail(const Entry& entry, std::string found, std::string expected) const {
    throw FormatError({file_, entry.name, std::move(found), std::move(expected), {}});
  }

  void require_fields(const Entry& entry) const {
    if (!entry.dtype) fail(entry, "no dtype", "a dtype");
    if (!entry.shape) fail(entry, "no shape", "a shape");
    if (!entry.offsets || entry.offsets->size() != 2) {
      fail(entry,
           "data_offsets of " + std::to_string(entry.offsets ? entry.offsets->size() : 0) +
               " numbers",
           "two");
    }
    if (entry.shape->size() > kMaxRank) fail(entry, "over 64 dimensions", "at most 64");
  }

  std::uint64_t element_count(const Entry& entry) const {
    std::uint64_t count = 1;
    for (const std::uint64_t dimension : *entry.shape) {
      if (dimension > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        fail(entry, "dimension " + std::to_string(dimension), "below 2^63");
      }
      if (__builtin_mul_overflow(count, dimension, &count))
        fail(entry, "a shape whose product overflows", {});
    }
    return count;
  }

  std::uint64_t byte_count(const Entry& entry, std::uint64_t elements) const {
    std::uint64_t bits = 0;
    if (__builtin_mul_overflow(elements, static_cast<std::uint64_t>(bits_of(*entry.dtype)),
                               &bits)) {
      fail(entry, "a size that overflows", {});
    }
    if (bits % 8 != 0) fail(entry, std::to_string(bits) + " bits of data", "whole bytes");
    return bits / 8;
  }

  const std::string& file_;
};

// `text` as a JSON string, quotes included.
std::string json_string(const std::string& text) {
  try {
    std::string quoted = Json(text).dump();
    if (quoted.size() <= kMaxJsonTokenBytes) return quoted;
    throw FormatError({{},
                       {},
                       std::to_string(quoted.size()) + " bytes of text in a header",
                       "at most " + std::to_string(kMaxJsonTokenBytes),
                       "write fewer tensors at once"});
  } catch (const nlohmann::json::exception&) {
    throw FormatError({{}, {}, "'" + printable(text) + "'", "UTF-8 text", "rename it"});
  }
}

// The data must be covered exactly: begin at 0, no hole, no overlap, end where the file ends.
void require_exact_cover(const std::vector<TensorInfo>& sorted, std::uint64_t data_bytes,
                         const std::string& file) {
  std::uint64_t covered = 0;
  for (const TensorInfo& tensor : sorted) {
    if (tensor.offset != covered) {
      throw FormatError({file,
                         tensor.name,
                         std::string(tensor.offset > covered ? "a hole" : "an overlap") +
                             " before its data at byte " + std::to_string(tensor.offset),
                         "data from byte " + std::to_string(covered),
                         {}});
    }
    covered += tensor.bytes;  // cannot overflow: offset + bytes is a stated u64
  }
  if (covered > data_bytes) {
    const std::string missing = std::to_string(covered - data_bytes);
    const auto cut = std::find_if(sorted.begin(), sorted.end(), [&](const TensorInfo& tensor) {
      return tensor.offset + tensor.bytes > data_bytes;
    });
    throw FormatError({file,
                       cut->name,
                       "the file ends " + missing + " bytes early",
                       {},
                       "a download or copy was cut short; fetch the file again"});
  }
  if (covered < data_bytes) {
    throw FormatError({file,
                       {},
                       std::to_string(data_bytes - covered) + " bytes after the last tensor",
                       "none",
                       {}});
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_bytes,
                                           const std::string& file) {
  refuse_odd_text(json, file);
  HeaderHandler handler(file);
  nlohmann::json::sax_parse(json.begin(), json.end(), &handler);
  SafetensorsHeader header;
  header.metadata = handler.take_metadata();
  const EntryCheck check(file);
  for (Entry& entry : handler.take_entries()) header.tensors.push_back(check(std::move(entry)));
  // Empty tensors share a place: they come in the order in which Suture lays tensors out.
  std::sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    if (a.offset != b.offset || a.bytes != b.bytes)
      return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
    return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
  });
  require_exact_cover(header.tensors, data_bytes, file);
  return header;
}

SafetensorsHeader read_safetensors_header(const File& file) {
  const std::string path = file.path().string();
  refuse_lookalikes(file);
  if (file.size() < 8) {
    throw FormatError(
        {path, {}, std::to_string(file.size()) + " bytes", "at least 8, the header's length", {}});
  }
  unsigned char raw[8];
  file.read(0, raw, sizeof raw);
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | raw[i];
  if (length > kMaxSafetensorsHeaderBytes || length > file.size() - 8) {
    throw FormatError(
        {path,
         {},
         "a header of " + std::to_string(length) + " bytes",
         "at most " + std::to_string(std::min(kMaxSafetensorsHeaderBytes, file.size() - 8)),
         "this is not a safetensors file, or it is damaged"});
  }
  std::string json(length, '\0');
  file.read(8, json.data(), json.size());
  SafetensorsHeader header = parse_safetensors_header(json, file.size() - 8 - length, path);
  header.data_begin = 8 + length;
  for (TensorInfo& tensor : header.tensors) tensor.offset += header.data_begin;
  return header;
}

std::string lay_out_safetensors(std::vector<TensorInfo>& tensors,
                                const std::map<std::string, std::string>& metadata,
                                std::size_t min_json_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
  });
  std::string json = "{";
  for (const auto& [key, value] : metadata) {
    json += (json.size() == 1 ? "\"__metadata__\":{" : ",") + json_string(key) + ":" +
            json_string(value);
  }
  if (!metadata.empty()) json += '}';
  std::uint64_t end = 0;
  std::unordered_set<std::string_view> names;
  for (TensorInfo& tensor : tensors) {
    if (!names.insert(tensor.name).second)
      throw FormatError({{}, tensor.name, "two tensors of this name", "one", {}});
    if (tensor.name.empty() || tensor.name == kMetadataKey) {
      throw FormatError({{}, {}, "a tensor called '" + tensor.name + "'", "another name", {}});
    }
    tensor.offset = end;
    end += tensor.bytes;
    if (json.size() > 1) json += ',';
    json += json_string(tensor.name) + ":{\"dtype\":\"" + std::string(name_of(tensor.dtype)) +
            "\",\"shape\":" + Json(tensor.shape).dump() + ",\"data_offsets\":[" +
            std::to_string(tensor.offset) + "," + std::to_string(end) + "]}";
  }
  json += '}';
  if (json.size() < min_json_bytes) json.append(min_json_bytes - json.size(), ' ');
  json.append((8 - json.size() % 8) % 8, ' ');
  if (json.size() > kMaxSafetensorsHeaderBytes) {
    throw FormatError({{},
                       {},
                       "a header of " + std::to_string(json.size()) + " bytes",
                       "at most " + std::to_string(kMaxSafetensorsHeaderBytes),
                       "split the output into shards"});
  }
  std::string first_bytes;
  for (std::uint64_t length = json.size(), i = 0; i < 8; ++i)
    first_bytes += static_cast<char>(length >> (8 * i) & 0xFF);
  first_bytes += json;
  for (TensorInfo& tensor : tensors) tensor.offset += first_bytes.size();
  return first_bytes;
}

}  // namespace suture::format
