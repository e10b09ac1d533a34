#include "kernels/batch.h"

#include <cstdint>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/thrown.h"

namespace suture::kernels {
namespace {

using test::holds;
using test::thrown_by;

const CudaBackend& played() {
  static const CudaBackend backend = load_cuda_backend({PLAYED_CUDA});
  return backend;
}

// A call that is right, to be spoilt.
struct Fixture {
  alignas(16) float target[4] = {1, 2, 3, 4};
  alignas(16) float delta[4] = {1, 1, 1, 1};
  TermTile term{{delta, Dtype::kF32}, {}, 2};
  TensorUpdate update{target, Dtype::kF32, 4, {&term, 1}};

  // Both machines refuse the same with the same words.
  std::string refusal() {
    const std::string cpu = thrown_by<UsageError>([&] { add_in_place({&update, 1}); });
    EXPECT_EQ(cpu, thrown_by<UsageError>([&] {
                add_in_place({&update, 1}, CudaStream(), played());
              }));
    EXPECT_EQ(target[0], 1);
    return cpu;
  }
};

TEST(AddInPlace, AddsOnTheCpu) {
  Fixture fixture;
  add_in_place({&fixture.update, 1});
  EXPECT_EQ(fixture.target[0], 3);
  EXPECT_EQ(fixture.target[3], 6);
}

TEST(AddInPlace, RefusesOperandsThatCannotBeRead) {
  Fixture null_target, null_minuend, odd_address, integers, integer_term, endless;
  null_target.update.target = nullptr;
  EXPECT_TRUE(holds(null_target.refusal(), "target: no memory"));
  null_minuend.term.minuend.data = nullptr;
  EXPECT_TRUE(holds(null_minuend.refusal(), "minuend: no memory"));
  odd_address.term.subtrahend = {reinterpret_cast<const char*>(odd_address.delta) + 2, Dtype::kF32};
  EXPECT_TRUE(holds(odd_address.refusal(), "subtrahend: an address inside an element"));
  integers.update.dtype = Dtype::kI32;
  EXPECT_TRUE(holds(integers.refusal(), "target: I32"));
  integer_term.term.minuend.dtype = Dtype::kU8;
  EXPECT_TRUE(holds(integer_term.refusal(), "minuend: U8"));
  endless.update.count = std::numeric_limits<std::uint64_t>::max() / 2;
  EXPECT_TRUE(holds(endless.refusal(), "elements"));
}

TEST(AddInPlace, ChangesNothingWithoutTermsOrElements) {
  Fixture no_terms, no_elements;
  no_terms.update.terms = {};
  no_elements.update = {nullptr, Dtype::kF32, 0, {&no_elements.term, 1}};
  for (const TensorUpdate& update : {no_terms.update, no_elements.update}) {
    add_in_place({&update, 1});
    add_in_place({&update, 1}, CudaStream(), played());
  }
  add_in_place({}, CudaStream(), played());
  EXPECT_EQ(no_terms.target[0], 1);
}

TEST(AddInPlace, TellsWhatTheDeviceSays) {
  Fixture fixture;
  const std::string message = thrown_by<DeviceError>([&] {
    add_in_place({&fixture.update, 1}, CudaStream{7, nullptr}, played());
  });
  EXPECT_TRUE(holds(message, "cuda:7: cudaSetDevice: invalid device ordinal"));
}

TEST(AddInPlace, WithoutABackendIsATypedError) {
  Fixture fixture;
  const CudaBackend stub = load_cuda_backend({});
  EXPECT_TRUE(holds(thrown_by<DeviceError>([&] {
                      add_in_place({&fixture.update, 1}, CudaStream(), stub);
                    }),
                    "libsuture_cuda.so"));
}

TEST(MeasureOnADevice, RefusesOperandsThatCannotBeRead) {
  Fixture fixture;
  fixture.term.minuend.dtype = Dtype::kI64;
  const TensorSum sum{{&fixture.term, 1}, 4};
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] {
                      measure_values({&sum, 1}, CudaStream(), played());
                    }),
                    "I64"));
  const TensorPair pair{{&fixture.term, 1}, {&fixture.term, 1}, 4};
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] {
                      measure_pairs({&pair, 1}, CudaStream(), played());
                    }),
                    "I64"));
}

}  // namespace
}  // namespace suture::kernels
