#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "suture/dtype.h"
#include "suture/tensor_info.h"

#include "support/temp_dir.h"

namespace suture::test {

/// `value` as eight little-endian bytes.
inline std::string little_endian(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}

/// A safetensors file of exactly this header and this data; nothing is checked, sorted or padded.
inline std::string safetensors_bytes(std::string_view header, std::string_view data = {}) {
  return little_endian(header.size()).append(header).append(data);
}

/// The bytes of `values` as they lie in memory.
template <class T>
std::string bytes_of_values(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// Writes safetensors files by hand, in the order given, without any of the code under test. Names
/// must need no escaping in JSON.
class SafetensorsBuilder {
 public:
  SafetensorsBuilder& metadata(const std::string& key, const std::string& value) {
    metadata_ += (metadata_.empty() ? "\"" : ",\"") + key + "\":\"" + value + "\"";
    return *this;
  }

  SafetensorsBuilder& add(const std::string& name, Dtype dtype,
                          const std::vector<std::int64_t>& shape, std::string_view data) {
    std::string numbers;
    for (const std::int64_t dimension : shape) {
      numbers += (numbers.empty() ? "" : ",") + std::to_string(dimension);
    }
    entries_ += ",\"" + name + "\":{\"dtype\":\"" + std::string(name_of(dtype)) + "\",\"shape\":[" +
                numbers + "],\"data_offsets\":[" + std::to_string(data_.size()) + "," +
                std::to_string(data_.size() + data.size()) + "]}";
    data_ += data;
    return *this;
  }

  /// A tensor of f32 values with one dimension.
  SafetensorsBuilder& add(const std::string& name, const std::vector<float>& values) {
    return add(name, Dtype::kF32, {static_cast<std::int64_t>(values.size())},
               bytes_of_values(values));
  }

  std::string bytes() const {
    std::string header = entries_;
    if (!metadata_.empty()) header = ",\"__metadata__\":{" + metadata_ + "}" + header;
    return safetensors_bytes("{" + header.substr(header.empty() ? 0 : 1) + "}", data_);
  }

  void write(const std::filesystem::path& path) const { write_file(path, bytes()); }

 private:
  std::string metadata_, entries_, data_;
};

/// An index of `metadata` `{"total_size": N}` and these places of tensors, written by hand.
inline std::string index_bytes(const std::vector<std::pair<std::string, std::string>>& places,
                               std::uint64_t total_size) {
  std::string map;
  for (const auto& [tensor, shard] : places) {
    map += (map.empty() ? "\"" : ",\"") + tensor + "\":\"" + shard + "\"";
  }
  return "{\"metadata\":{\"total_size\":" + std::to_string(total_size) + "},\"weight_map\":{" +
         map + "}}";
}

}  // namespace suture::test
