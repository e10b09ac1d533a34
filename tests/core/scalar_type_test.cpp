#include "core/scalar_type.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/thrown.h"

namespace suture {
namespace {

TEST(ScalarType, ReadsBackForEveryDtypeThatLibTorchHas) {
  int known = 0;
  for (int i = 0; i <= static_cast<int>(Dtype::kU64); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    const auto type = scalar_type_of(dtype);
    if (!type) {
      EXPECT_LT(bits_of(dtype), 8) << name_of(dtype);
      continue;
    }
    ++known;
    EXPECT_EQ(dtype_of(*type), dtype) << name_of(dtype);
    const int bits = bits_of(dtype) * (dtype == Dtype::kF4 ? 2 : 1);
    EXPECT_EQ(at::elementSize(*type) * 8, static_cast<std::size_t>(bits)) << name_of(dtype);
  }
  EXPECT_EQ(known, 20);
}

TEST(ScalarType, RefusesWhatSafetensorsCannotHold) {
  EXPECT_TRUE(test::holds(test::thrown_by<UsageError>([] { dtype_of(at::kComplexDouble); }),
                          "ComplexDouble"));
}

TEST(Describe, TellsNameDtypeShapeAndSize) {
  const TensorInfo info = describe("w", at::zeros({3, 4}, at::kBFloat16));
  EXPECT_EQ(info.name, "w");
  EXPECT_EQ(info.dtype, Dtype::kBF16);
  EXPECT_EQ(info.shape, (std::vector<std::int64_t>{3, 4}));
  EXPECT_EQ(info.elements, 12u);
  EXPECT_EQ(info.bytes, 24u);
  EXPECT_EQ(describe("s", at::zeros({}, at::kLong)).elements, 1u);
}

// Safetensors counts 4-bit floats, LibTorch the bytes that hold two of them.
TEST(Describe, CountsBothHalvesOf4BitFloats) {
  const at::Tensor bytes = at::arange(6, at::kByte).view({2, 3});
  const TensorInfo info = describe("w", bytes.view(at::kFloat4_e2m1fn_x2));
  EXPECT_EQ(info.shape, (std::vector<std::int64_t>{2, 6}));
  EXPECT_EQ(info.elements, 12u);
  EXPECT_EQ(info.bytes, 6u);
  EXPECT_EQ(sizes_of(info), (std::vector<std::int64_t>{2, 3}));
  test::thrown_by<UsageError>([&] { describe("w", bytes[0][0].view(at::kFloat4_e2m1fn_x2)); });
  TensorInfo odd = info;
  odd.shape = {4, 3};
  EXPECT_TRUE(test::holds(test::thrown_by<UsageError>([&] { sizes_of(odd); }), "[4, 3]"));
}

TEST(Dense, CopiesOnlyWhatIsNot) {
  const at::Tensor numbers = at::arange(6, at::kFloat).view({2, 3});
  EXPECT_EQ(dense(numbers).const_data_ptr(), numbers.const_data_ptr());
  EXPECT_TRUE(at::equal(dense(numbers.t()), numbers.t()));
  EXPECT_TRUE(dense(numbers.t()).is_contiguous());
  const at::Tensor packed = at::arange(6, at::kByte).view({2, 3}).view(at::kFloat4_e2m1fn_x2);
  EXPECT_TRUE(at::equal(dense(packed.t()).view(at::kByte), packed.view(at::kByte).t()));
}

TEST(RequireDevice, TakesTheCpuAndRefusesWhatIsNotThere) {
  EXPECT_NO_THROW(require_device(at::kCPU));
  EXPECT_TRUE(test::holds(
      test::thrown_by<UsageError>([] { require_device(at::Device(at::kCUDA, 100)); }), "cuda:100"));
  test::thrown_by<UsageError>([] { require_device(at::kMeta); });
}

}  // namespace
}  // namespace suture
