#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "suture/tensor_info.h"

#include "format/file.h"

namespace suture::format {

/// Longest header that the format allows, for reading and for writing.
inline constexpr std::uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// The validated header of a safetensors file.
struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  ///< In order of their data; offsets from file start.
  std::map<std::string, std::string> metadata;  ///< The `__metadata__` object, empty when absent.
  std::uint64_t data_begin = 0;                 ///< Position of the first data byte.
};

/// Reads and validates the whole header: every rule of the format, and the stricter ones listed in
/// docs/formats.md. Throws FormatError with the reason.
SafetensorsHeader read_safetensors_header(const File& file);

/// The same on bytes: `json` is the header without its length, `data_bytes` what follows it.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_bytes,
                                           const std::string& file);

/// Sorts `tensors` as the reference writer does (dtype rank descending, then name), sets their
/// offsets, and returns the file's first bytes: length, JSON, padding to 8 and to at least
/// `min_json_bytes`. Throws FormatError when the header would be longer than the format allows, or
/// a name cannot be written: empty, `__metadata__`, not UTF-8.
std::string lay_out_safetensors(std::vector<TensorInfo>& tensors,
                                const std::map<std::string, std::string>& metadata,
                                std::size_t min_json_bytes = 0);

}  // namespace suture::format
