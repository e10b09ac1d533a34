#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace suture {

/// Element types that a safetensors file can name. The order is the rank by which the reference
/// writer sorts tensors (highest first), so that files can be written byte-equal to its own.
enum class Dtype : std::uint8_t {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3FNUZ,
  kF8E5M2FNUZ,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

/// Bits of one element: 4 to 64.
int bits_of(Dtype dtype);

/// Bytes of one element of a whole-byte dtype; 0 for the 4- and 6-bit ones.
int bytes_of(Dtype dtype);

/// True for the four dtypes that Suture computes with: bf16, f16, f32, f64.
bool is_computable(Dtype dtype);

/// True for 4-, 6- and 8-bit floats: their numbers mean something only with a scale kept elsewhere,
/// so they are carried or refused, never computed on.
bool is_low_precision_float(Dtype dtype);

/// The name as safetensors writes it: `BF16`, `F8_E4M3`, ...
std::string_view name_of(Dtype dtype);

/// The dtype that safetensors calls `name` (case matters), if there is one.
std::optional<Dtype> dtype_from_name(std::string_view name);

/// The dtype that a user calls `text`: `bf16`, `bfloat16`, `f16`, `float16`, `half`, `f32`,
/// `float32`, `float`, `f64`, `float64` or `double` in any case; nothing otherwise.
std::optional<Dtype> computable_dtype_from_user(std::string_view text);

}  // namespace suture
