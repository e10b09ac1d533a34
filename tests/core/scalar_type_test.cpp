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
    EXPECT_EQ(at::elementSize(*type), static_cast<std::size_t>(bytes_of(dtype))) << name_of(dtype);
  }
  EXPECT_EQ(known, 19);
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

TEST(RequireDevice, TakesTheCpuAndRefusesWhatIsNotThere) {
  EXPECT_NO_THROW(require_device(at::kCPU));
  EXPECT_TRUE(test::holds(
      test::thrown_by<UsageError>([] { require_device(at::Device(at::kCUDA, 100)); }), "cuda:100"));
  test::thrown_by<UsageError>([] { require_device(at::kMeta); });
}

}  // namespace
}  // namespace suture
