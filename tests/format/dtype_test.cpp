#include "suture/dtype.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

namespace suture {
namespace {

constexpr int kCount = static_cast<int>(Dtype::kU64) + 1;

TEST(Dtype, EveryNameLeadsBackToItsDtype) {
  for (int i = 0; i < kCount; ++i) {
    const auto dtype = static_cast<Dtype>(i);
    EXPECT_EQ(dtype_from_name(name_of(dtype)), dtype) << name_of(dtype);
  }
}

// The numbers are written out here and not taken from the table under test.
TEST(Dtype, BitsFollowTheFormat) {
  const std::map<std::string, int> bits{
      {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
      {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
      {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
      {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
      {"I64", 64},        {"U64", 64},
  };
  ASSERT_EQ(bits.size(), static_cast<std::size_t>(kCount));
  for (const auto& [name, expected] : bits) {
    const auto dtype = dtype_from_name(name);
    ASSERT_TRUE(dtype) << name;
    EXPECT_EQ(bits_of(*dtype), expected) << name;
    EXPECT_EQ(bytes_of(*dtype), expected % 8 == 0 ? expected / 8 : 0) << name;
  }
}

TEST(Dtype, RanksAreThoseOfTheReferenceWriter) {
  EXPECT_LT(Dtype::kBool, Dtype::kU8);
  EXPECT_LT(Dtype::kU16, Dtype::kF16);
  EXPECT_LT(Dtype::kF16, Dtype::kBF16);
  EXPECT_LT(Dtype::kBF16, Dtype::kI32);
  EXPECT_LT(Dtype::kF32, Dtype::kC64);
  EXPECT_LT(Dtype::kF64, Dtype::kI64);
  EXPECT_LT(Dtype::kI64, Dtype::kU64);
}

TEST(Dtype, NamesAreCaseSensitiveAndWhole) {
  for (const char* name : {"f32", "F3", "F32 ", "F128", "", "bf16"}) {
    EXPECT_FALSE(dtype_from_name(name)) << name;
  }
}

TEST(Dtype, OnlyFourAreComputedWith) {
  std::string computable;
  for (int i = 0; i < kCount; ++i) {
    if (is_computable(static_cast<Dtype>(i))) {
      computable += std::string(name_of(static_cast<Dtype>(i))) + " ";
    }
  }
  EXPECT_EQ(computable, "F16 BF16 F32 F64 ");
}

TEST(Dtype, LowPrecisionFloatsAreThoseThatNeedAScale) {
  std::string low;
  for (int i = 0; i < kCount; ++i) {
    if (is_low_precision_float(static_cast<Dtype>(i))) {
      low += std::string(name_of(static_cast<Dtype>(i))) + " ";
    }
  }
  EXPECT_EQ(low, "F4 F6_E2M3 F6_E3M2 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ ");
}

TEST(Dtype, UsersMayWriteThemAsTheyDoElsewhere) {
  for (const char* text : {"bf16", "bfloat16", "BF16", "BFloat16"}) {
    EXPECT_EQ(computable_dtype_from_user(text), Dtype::kBF16) << text;
  }
  for (const char* text : {"f16", "float16", "half", "F16", "Half"}) {
    EXPECT_EQ(computable_dtype_from_user(text), Dtype::kF16) << text;
  }
  for (const char* text : {"f32", "float32", "float", "F32"}) {
    EXPECT_EQ(computable_dtype_from_user(text), Dtype::kF32) << text;
  }
  for (const char* text : {"f64", "float64", "double", "DOUBLE"}) {
    EXPECT_EQ(computable_dtype_from_user(text), Dtype::kF64) << text;
  }
  for (const char* text : {"", "f8", "int8", "i32", " f32", "f32 ", "floats"}) {
    EXPECT_FALSE(computable_dtype_from_user(text)) << text;
  }
}

}  // namespace
}  // namespace suture
