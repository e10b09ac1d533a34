#pragma once

#include <cstddef>
#include <string>

#include <gtest/gtest.h>

#include "suture/checkpoint.h"

#include "support/safetensors_builder.h"
#include "support/temp_dir.h"

namespace suture::test {

/// A good header for 11 bytes of data. Every refused one below is this with one thing changed.
inline const std::string kGoodHeader = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                       R"("b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
inline constexpr std::size_t kGoodDataBytes = 11;

inline std::string data_of(std::size_t bytes) { return std::string(bytes, 'd'); }

inline Checkpoint open_bytes(const TempDir& dir, const std::string& bytes) {
  write_file(dir / "m.safetensors", bytes);
  return Checkpoint::open((dir / "m.safetensors").string());
}

inline Checkpoint open_header(const TempDir& dir, const std::string& header,
                              std::size_t data_bytes = 0) {
  return open_bytes(dir, safetensors_bytes(header, data_of(data_bytes)));
}

inline std::string read_all(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* tensor = checkpoint.find(name);
  EXPECT_NE(tensor, nullptr) << name;
  if (tensor == nullptr) return {};
  std::string bytes(tensor->bytes, '?');
  checkpoint.read(*tensor, 0, bytes.size(), bytes.data());
  return bytes;
}

inline std::string nested(const std::string& before, std::size_t depth, const std::string& after) {
  return before + std::string(depth, '[') + std::string(depth, ']') + after;
}

}  // namespace suture::test
