#include "suture/dtype.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace suture {
namespace {

struct DtypeRow {
  std::string_view name;
  int bits;
};

// Indexed by Dtype.
constexpr std::array<DtypeRow, 22> kRows{{
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
}};
static_assert(kRows.size() == static_cast<std::size_t>(Dtype::kU64) + 1);

const DtypeRow& row(Dtype dtype) { return kRows[static_cast<std::size_t>(dtype)]; }

}  // namespace

int bits_of(Dtype dtype) { return row(dtype).bits; }

int bytes_of(Dtype dtype) { return row(dtype).bits % 8 == 0 ? row(dtype).bits / 8 : 0; }

bool is_computable(Dtype dtype) {
  return dtype == Dtype::kBF16 || dtype == Dtype::kF16 || dtype == Dtype::kF32 ||
         dtype == Dtype::kF64;
}

bool is_low_precision_float(Dtype dtype) { return bits_of(dtype) <= 8 && name_of(dtype)[0] == 'F'; }

std::string_view name_of(Dtype dtype) { return row(dtype).name; }

std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

std::optional<Dtype> computable_dtype_from_user(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower == "bf16" || lower == "bfloat16") return Dtype::kBF16;
  if (lower == "f16" || lower == "float16" || lower == "half") return Dtype::kF16;
  if (lower == "f32" || lower == "float32" || lower == "float") return Dtype::kF32;
  if (lower == "f64" || lower == "float64" || lower == "double") return Dtype::kF64;
  return std::nullopt;
}

}  // namespace suture
